"""The rules that let the schema be spread over machines later, proved on the catalogue and on every statement.

1. Tables of people carry (part, customer_id) in every key and join each other on both.
2. Tables that configure are small: reference tables.
3. Tables that coordinate are local; look-up tables start every key with a hash and never meet tables of people.
4. Foreign keys point to reference tables or within one kind; tables of people have no triggers.
5. A statement that writes people has no window, no data-modifying CTE and no join to a local table.
6. Every statement on a brand's rows binds the brand, or says why it is for all brands.
"""

import re
from collections.abc import Iterator
from contextlib import suppress

import psycopg
import pytest

from stentor.db.sql import Statement, parse_blocks
from stentor.testing.databases import TestDatabases
from storage_plans import Conn, Shape, prepare, shape_of, sql_blocks

BLOCKS = dict(sql_blocks())

# Statements of no single brand. Each says why in its file; adding one is a decision, so it is written down here too.
ALL_BRANDS = {
    "accounts/audit.sql:add_of_organisation",
    "accounts/audit.sql:entries",
    "accounts/audit.sql:entries_of_organisation",
    "accounts/audit.sql:forget",
    "accounts/audit.sql:page_of_organisation",
    "accounts/queries.sql:brands",
    "accounts/queries.sql:brands_of",
    "accounts/queries.sql:count_organisation_keys",
    "accounts/queries.sql:find_brand_by_key",
    "accounts/queries.sql:find_principal",
    "accounts/queries.sql:holder_of_key",
    "accounts/queries.sql:keys_of_organisation",
    "accounts/queries.sql:lock_key",
    "accounts/queries.sql:lock_keys_of_user",
    "accounts/queries.sql:note_key_use",
    "accounts/queries.sql:revoke_key",
    "accounts/letters.sql:insert_letter",
    "accounts/letters.sql:invitation_letter",
    "accounts/letters.sql:listener_letter",
    "accounts/letters.sql:test_recipient_letter",
    "accounts/users.sql:accept_invitation",
    "accounts/users.sql:count_members",
    "accounts/users.sql:count_owners",
    "accounts/users.sql:delete_membership",
    "accounts/users.sql:delete_memberships",
    "accounts/users.sql:find_invitation",
    "accounts/users.sql:forget_invitations",
    "accounts/users.sql:invitations_to",
    "accounts/users.sql:invited_lately",
    "accounts/users.sql:memberships_of_organisation",
    "accounts/users.sql:memberships_of_user",
    "accounts/users.sql:open_invitations",
    "accounts/users.sql:withdraw_by",
    "accounts/users.sql:withdraw_earlier",
    "accounts/users.sql:withdraw_invitation",
    "accounts/users.sql:withdraw_to",
    "backups/revocations.sql:lock_unkept_of_hub",
    "backups/revocations.sql:note_kept_of_hub",
    "backups/revocations.sql:revoke_again_at_hub",
    "integrations/access.sql:end_oldest",
    "integrations/access.sql:find",
    "integrations/access.sql:forget",
    "integrations/access.sql:insert_token",
    "integrations/access.sql:lengthen",
    "channels/partners/clients.sql:caller_by_id",
    "channels/partners/clients.sql:caller_by_key",
    "channels/partners/clients.sql:note_ended_key",
    "channels/partners/clients.sql:note_use",
    "channels/partners/clients.sql:password_of",
    "audience/customer_events.sql:drop_event_month",
    "audience/customer_events.sql:drop_event_strays",
    "audience/customer_events.sql:make_event_month",
    "audience/customer_events.sql:missing_event_months",
    "audience/customers.sql:go_by_keys",
    "backups/fence.sql:ask_for_winners",
    "backups/fence.sql:call_partners_told",
    "backups/fence.sql:disable_connectors",
    "backups/fence.sql:chunks_in_doubt",
    "backups/fence.sql:end_invitations",
    "backups/fence.sql:end_leases",
    "backups/fence.sql:end_notices",
    "backups/fence.sql:end_roles",
    "backups/fence.sql:hold_steps",
    "backups/fence.sql:keep_revocations_anew",
    "backups/fence.sql:leap_run_numbers",
    "backups/fence.sql:left_paused",
    "backups/fence.sql:note_asking",
    "backups/fence.sql:pause_overdue",
    "backups/fence.sql:pause_steps",
    "backups/fence.sql:pause_under_way",
    "backups/revocations.sql:lock_unkept",
    "backups/revocations.sql:note_kept",
    "backups/revocations.sql:revoke_again",
    "db/by_keys.sql:go_by_keys",
    "deliver/queries.sql:floors",
    "executions/gate.sql:pass_alone",
    "executions/gate.sql:pass_together",
    "executions/queries.sql:floors",
    "executions/queries.sql:hasten_over",
    "executions/steps/queries.sql:claim_sources",
    "executions/steps/queries.sql:claim_turns",
    "executions/steps/queries.sql:end_steppings",
    "executions/steps/queries.sql:lock_over",
    "executions/steps/queries.sql:park_turns",
    "executions/steps/queries.sql:start_executions",
    "executions/steps/queries.sql:turns_started",
    "deliver/partitions.sql:give_way",
    "deliver/partitions.sql:make_week",
    "deliver/queries.sql:anything_due",
    "deliver/queries.sql:claim_chunks",
    "deliver/queries.sql:unpark_chunks",
    "deliver/queries.sql:workers_with_open_waves",
    "deliver/hour_buckets.sql:forget_hour_buckets",
    "deliver/hour_buckets.sql:forget_hour_promises",
    "deliver/hour_promises.sql:moment",
    "campaigns/test_content.sql:forget_contents",
    "deliver/queries.sql:extend_leases",
    "erasures/sweep.sql:claim",
    "erasures/sweep.sql:waiting",
    "executions/ending.sql:end",
    "executions/ending.sql:endable",
    "executions/ending.sql:forgotten",
    "executions/experiments.sql:due",
    "executions/history.sql:add_totals",
    "executions/history.sql:drop_executions",
    "executions/history.sql:drop_week",
    "executions/history.sql:lock_old",
    "executions/queries.sql:anything_uncast",
    "executions/queries.sql:claim_queued",
    "audience/casting.sql:moment",
    "executions/queries.sql:claim_uncast",
    "executions/queries.sql:hold_uncast",
    "executions/queries.sql:claim_slice",
    "executions/queries.sql:fail_expired",
    "executions/queries.sql:hasten_expired",
    "executions/queries.sql:next_lanes",
    "executions/queries.sql:origin",
    "executions/queries.sql:start_due",
    "executions/queries.sql:wake_expired",
    "executions/remedies.sql:claim",
    "guard/queries.sql:forget_claims",
    "integrations/clearance/queries.sql:over_runs",
    "integrations/clearance/queries.sql:to_release",
    "integrations/connector/queries.sql:by_id",
    "integrations/connector/runs.sql:anything_due",
    "integrations/connector/runs.sql:claim",
    "integrations/connector/runs.sql:over",
    "integrations/connector/syncing.sql:due",
    "integrations/listeners/days.sql:brands_to_close",
    "integrations/listeners/days.sql:forget_days",
    "integrations/listeners/days.sql:unprocessed",
    "integrations/listeners/delivery.sql:anything_due",
    "integrations/listeners/delivery.sql:forget_old",
    "integrations/listeners/delivery.sql:forget_surplus",
    "integrations/listeners/delivery.sql:lock_ready",
    "integrations/listeners/delivery.sql:note_served",
    "integrations/listeners/delivery.sql:owners",
    "integrations/listeners/delivery.sql:take",
    "integrations/listeners/telling.sql:forget_told",
    "integrations/listeners/telling.sql:note_told",
    "integrations/listeners/telling.sql:untold",
    "integrations/marks.sql:forget",
    "integrations/meeting.sql:untold",
    "integrations/pulls/people.sql:go_by_scans",
    "integrations/pulls/queries.sql:droppable",
    "integrations/pulls/queries.sql:go_on",
    "integrations/pulls/queries.sql:limit_waiting",
    "integrations/pulls/queries.sql:moment",
    "integrations/pulls/queries.sql:to_settle",
    "integrations/pulls/queries.sql:unfinished",
    "integrations/pulls/queries.sql:unmoved",
    "integrations/pulls/revoking.sql:to_sweep",
    "integrations/pulls/revoking.sql:watched",
    "optouts/jobs/jobs.sql:due",
    "optouts/jobs/jobs.sql:forget_jobs",
    "optouts/lists.sql:find_open",
    "optouts/compaction/clearing.sql:forget_generations",
    "optouts/compaction/clearing.sql:forget_lifted",
    "optouts/compaction/clearing.sql:forget_recents",
    "optouts/compaction/clearing.sql:forget_removals",
    "optouts/compaction/clearing.sql:jobs_under_way",
    "optouts/compaction/clearing.sql:known_parts",
    "optouts/compaction/clearing.sql:known_results",
    "optouts/compaction/clearing.sql:may_delete",
    "optouts/compaction/clearing.sql:strangers_until",
    "optouts/compaction/lists.sql:in_need",
    "optouts/compaction/files.sql:deletable:run",
    "optouts/compaction/files.sql:deletable:segment",
    "optouts/compaction/files.sql:forget:run",
    "optouts/compaction/files.sql:forget:segment",
    "optouts/compaction/files.sql:known:run",
    "optouts/compaction/files.sql:known:segment",
    "optouts/presence.sql:awaited_parts",
    "optouts/presence.sql:live_files",
    "optouts/standing.sql:standing",
    "integrations/metrics/queries.sql:forget_told",
    "queue/leases.sql:leave_role",
    "queue/leases.sql:take_role",
    "optouts/jobs/working.sql:anything_left_behind",
    "optouts/jobs/working.sql:anything_to_do",
    "optouts/jobs/working.sql:begin_claiming",
    "optouts/jobs/working.sql:claim",
    "optouts/jobs/working.sql:give_up",
    "optouts/jobs/working.sql:under_way",
    "report/provider_events.sql:claim_due",
    "report/recipients.sql:limit_idling",
    "report/provider_events.sql:forget_applied",
    "testing/world.sql:add_organisation",
    "triggers/events.sql:forget_events",
    "triggers/schedules/queries.sql:advance",
    "triggers/schedules/queries.sql:due_schedules",
    "triggers/schedules/queries.sql:forget_occurrences",
    "triggers/schedules/queries.sql:insert_occurrences",
    "triggers/schedules/queries.sql:lock_due",
    "triggers/schedules/queries.sql:start_occurrences",
    "triggers/schedules/queries.sql:schedules_to_come",
    "triggers/schedules/queries.sql:set_alarms",
    "answers/queries.sql:forget_answers",
}


@pytest.fixture(scope="module")
def conn(databases: TestDatabases) -> Iterator[Conn]:
    with databases.migrated() as dsn, psycopg.connect(dsn, autocommit=True, prepare_threshold=None) as opened:
        yield opened


@pytest.fixture(scope="module")
def kinds(conn: Conn) -> dict[str, str]:
    """Each table's kind, as its comment declares it."""
    comments = conn.execute(
        "SELECT relname, obj_description(oid, 'pg_class') FROM pg_class"
        " WHERE relkind IN ('r', 'p') AND NOT relispartition AND relnamespace = 'public'::regnamespace"
    ).fetchall()
    return {
        table: kind[1] if (kind := re.match(r"kind: (\w+)\. \S", comment or "")) else "" for table, comment in comments
    }


@pytest.fixture(scope="module")
def brand_columns(conn: Conn) -> dict[str, tuple[str, int]]:
    """Of each table with rows of brands, the column that names the brand and its place among the columns."""
    rows = conn.execute(
        "SELECT c.relname, a.attname, row_number() OVER (PARTITION BY c.oid ORDER BY a.attnum)::integer - 1"
        " FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid"
        " WHERE c.relkind IN ('r', 'p') AND c.relnamespace = 'public'::regnamespace AND a.attnum > 0"
        " AND NOT a.attisdropped"
    ).fetchall()
    return {
        table: (column, place) for table, column, place in rows if column == ("id" if table == "brand" else "brand_id")
    }


@pytest.fixture(scope="module")
def shapes(conn: Conn) -> dict[str, Shape]:
    found: dict[str, Shape] = {}
    for name, statement in BLOCKS.items():
        # Those that do not fit the schema have a test of their own.
        with suppress(psycopg.Error):
            found[name] = shape_of(conn, statement)
    return found


@pytest.mark.fault("S4")
def test_every_block_fits_the_schema(conn: Conn):
    misfits: dict[str, str] = {}
    for name, statement in BLOCKS.items():
        try:
            prepare(conn, statement)
        except psycopg.Error as error:
            misfits[name] = str(error)

    assert misfits == {}


def test_every_table_declares_its_kind(kinds: dict[str, str]):
    undeclared = {table for table, kind in kinds.items() if kind not in {"people", "reference", "local", "lookup"}}

    assert undeclared == set()


def test_every_key_of_a_people_table_carries_part_and_customer_id(conn: Conn, kinds: dict[str, str]):
    keys = unique_keys(conn)

    assert {table for table, kind in kinds.items() if kind == "people" and not keys.get(table)} == set()
    assert {
        (table, *key)
        for table, found in keys.items()
        if kinds[table] == "people"
        for key in found
        if not {"part", "customer_id"} <= set(key)
    } == set()


def test_every_key_of_a_look_up_table_starts_with_a_hash(conn: Conn, kinds: dict[str, str]):
    keys = unique_keys(conn)

    assert {
        (table, *key) for table, found in keys.items() if kinds[table] == "lookup" for key in found if key[0] != "shard"
    } == set()


def test_rows_of_people_and_look_ups_name_their_brand(conn: Conn, kinds: dict[str, str]):
    named = {
        row[0]
        for row in conn.execute(
            "SELECT attrelid::regclass::text FROM pg_attribute WHERE attname = 'brand_id' AND attnotnull"
        )
    }

    assert {table for table, kind in kinds.items() if kind in {"people", "lookup"}} - named == set()


def test_foreign_keys_point_to_reference_tables_or_within_one_kind(conn: Conn, kinds: dict[str, str]):
    foreign_keys = conn.execute(
        "SELECT conrelid::regclass::text, confrelid::regclass::text FROM pg_constraint"
        " WHERE contype = 'f' AND conparentid = 0"
    ).fetchall()

    assert {
        (source, target)
        for source, target in foreign_keys
        if kinds[target] != "reference" and kinds[target] != kinds[source]
    } == set()


def test_people_tables_have_no_triggers(conn: Conn, kinds: dict[str, str]):
    triggers = conn.execute("SELECT tgrelid::regclass::text, tgname FROM pg_trigger WHERE NOT tgisinternal").fetchall()

    assert {(table, name) for table, name in triggers if kinds.get(table, "people") == "people"} == set()


def test_people_tables_join_each_other_on_part_and_customer_id(shapes: dict[str, Shape], kinds: dict[str, str]):
    assert {name for name, shape in shapes.items() if joins_people_loosely(shape, kinds)} == set()


def test_look_up_tables_never_meet_people_tables(shapes: dict[str, Shape], kinds: dict[str, str]):
    assert {name for name, shape in shapes.items() if {"lookup", "people"} <= kinds_in(shape, kinds)} == set()


def test_statements_that_write_people_are_pushed_down_whole(shapes: dict[str, Shape], kinds: dict[str, str]):
    found = {name: obstacles(shape, kinds) for name, shape in shapes.items()}

    assert {name: why for name, why in found.items() if why} == {}


def test_every_statement_on_a_brands_rows_binds_the_brand(
    shapes: dict[str, Shape], brand_columns: dict[str, tuple[str, int]]
):
    unbound = {
        name: relations
        for name, shape in shapes.items()
        if BLOCKS[name].all_brands is None and (relations := open_to_all_brands(shape, brand_columns))
    }

    assert unbound == {}


def test_statements_for_all_brands_are_known_by_name():
    assert {name for name, statement in BLOCKS.items() if statement.all_brands} == ALL_BRANDS


def test_statements_for_all_brands_touch_no_people(shapes: dict[str, Shape], kinds: dict[str, str]):
    assert {
        name for name, shape in shapes.items() if BLOCKS[name].all_brands and "people" in kinds_in(shape, kinds)
    } == set()


def test_a_block_that_lost_its_brand_is_found(
    conn: Conn, shapes: dict[str, Shape], brand_columns: dict[str, tuple[str, int]]
):
    missed: set[str] = set()
    for name, shape in shapes.items():
        statement = BLOCKS[name]
        source = re.sub(r"(\w+\.)?(brand_)?id = :brand_id", "true", statement.source)
        if statement.all_brands is None and not shape.inserted and source != statement.source:
            sabotaged = shape_of(conn, Statement(statement.name, source, None))
            if not open_to_all_brands(sabotaged, brand_columns):
                missed.add(name)

    assert missed == set()


@pytest.mark.parametrize(
    ("sql", "obstacle"),
    [
        ("UPDATE customer SET locale = :x FROM execution e WHERE customer.brand_id = e.brand_id", "joins execution"),
        (
            """
            INSERT INTO consent_event
            SELECT part, customer_id, customer_id, brand_id, updated_at, locale, NULL, row_number() OVER () FROM customer
            """,
            "has a window",
        ),
        (
            """
            WITH gone AS (DELETE FROM subscription RETURNING part, customer_id)
            UPDATE customer SET locale = '' FROM gone WHERE gone.customer_id = customer.customer_id
            """,
            "changes rows in a CTE",
        ),
    ],
)
def test_a_statement_that_cannot_be_pushed_down_is_found(conn: Conn, kinds: dict[str, str], sql: str, obstacle: str):
    assert obstacle in obstacles(shape_of(conn, statement_of(sql)), kinds)


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT 1 FROM customer c JOIN subscription s ON s.customer_id = c.customer_id",
        "SELECT 1 FROM customer c JOIN subscription s ON s.part = c.part",
        "SELECT 1 FROM customer c WHERE EXISTS (SELECT FROM send s WHERE s.customer_id = c.customer_id)",
    ],
)
def test_a_join_on_half_a_key_is_found(conn: Conn, kinds: dict[str, str], sql: str):
    assert joins_people_loosely(shape_of(conn, statement_of(sql)), kinds)


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT 1 FROM customer WHERE customer_id = :id",
        "SELECT 1 FROM customer c JOIN topic t ON true WHERE t.brand_id = :brand_id",
        "SELECT 1 FROM topic WHERE brand_id <> :brand_id",
        "UPDATE topic SET enabled = EXISTS (SELECT FROM brand WHERE id = :brand_id)",
        "INSERT INTO topic_counter SELECT id, 0, brand_id, 0 FROM topic",
        "DELETE FROM send USING unnest(:ids::uuid[]) AS n (id) WHERE customer_id = n.id",
    ],
)
def test_a_statement_without_its_brand_is_found(conn: Conn, brand_columns: dict[str, tuple[str, int]], sql: str):
    assert open_to_all_brands(shape_of(conn, statement_of(sql)), brand_columns)


def statement_of(sql: str) -> Statement:
    return parse_blocks(f"-- name: tried\n{sql}", origin="test")["tried"]


def unique_keys(conn: Conn) -> dict[str, list[list[str]]]:
    keys: dict[str, list[list[str]]] = {}
    for table, columns in conn.execute(
        "SELECT c.relname, array_agg(a.attname::text ORDER BY array_position(i.indkey::int2[], a.attnum))"
        " FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid"
        " JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = ANY (i.indkey)"
        " WHERE i.indisunique AND NOT c.relispartition AND c.relnamespace = 'public'::regnamespace"
        " GROUP BY c.relname, i.indexrelid"
    ).fetchall():
        keys.setdefault(table, []).append(columns)
    return keys


def kinds_in(shape: Shape, kinds: dict[str, str]) -> set[str]:
    return {kinds[table] for table in shape.tables.values() if not table.startswith("pg_")}


def joins_people_loosely(shape: Shape, kinds: dict[str, str]) -> bool:
    written_only = set(shape.inserted)
    joined = (
        {alias for alias, table in shape.tables.items() if kinds.get(table) == "people"} - shape.apart - written_only
    )
    return any(not joined <= shape.tied_to({min(joined)}, column) for column in ("part", "customer_id") if joined)


def obstacles(shape: Shape, kinds: dict[str, str]) -> set[str]:
    """What keeps a statement that writes people from running on their own machine alone."""
    if not any(kinds[table] == "people" for table in shape.written.values()):
        return set()
    found = {f"joins {table}" for table in shape.tables.values() if kinds[table] in {"local", "lookup"}}
    if shape.has_window:
        found.add("has a window")
    if shape.writes_within:
        found.add("changes rows in a CTE")
    return found


def open_to_all_brands(shape: Shape, brand_columns: dict[str, tuple[str, int]]) -> set[str]:
    """The relations of brands' rows that neither name the brand that was given nor are joined to one that does."""
    bound = shape.bound_by("brand_id")
    bound |= {alias for alias in shape.bound_by("id") if shape.tables.get(alias) == "brand"}
    for alias, output in shape.inserted.items():
        _, place = brand_columns.get(shape.tables[alias], ("", None))
        if place is not None and comes_from(output[place], shape.given | shape.tied_to(bound)):
            bound.add(alias)
    return {alias for alias, table in shape.tables.items() if table in brand_columns} - shape.tied_to(bound)


def comes_from(expression: str, relations: set[str]) -> bool:
    return any(each in relations for each in re.findall(r"\$\d+|[\w*]+(?=\"?\.)", expression))
