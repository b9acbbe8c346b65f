"""In a brand of 100,000 people whoever is erased, exported or merged is found by an index, by every statement that does so."""

import json
from collections.abc import Iterator
from typing import Any, LiteralString, cast

import psycopg
import pytest

from stentor.db.by_keys import Sql as ByKeys
from storage_plans import Conn, prepare, sql_blocks

pytestmark = pytest.mark.prove

PEOPLE = 100_000
OURS, OTHERS = "00000000-0000-7000-8000-00000000000a", "00000000-0000-7000-8000-00000000000b"
TOPIC, TAG, RUN = (
    "00000000-0000-7000-8000-0000000000f1",
    "00000000-0000-7000-8000-0000000000f2",
    "0199c0de-0000-7000-8000-0000000000f3",
)

# All but a few are one brand's, of one topic, tag and execution, so that none of these alone finds anybody.
_CUSTOMERS = """
    INSERT INTO customer (part, customer_id, brand_id, external_id, created_at, updated_at)
    SELECT ('x' || left(u.id, 3))::bit(12)::integer, u.id::uuid, u.brand, u.n::text, now(), now()
    FROM (
        SELECT n, md5(n::text) AS id, (CASE WHEN n %% 100 = 0 THEN %(others)s ELSE %(ours)s END)::uuid AS brand
        FROM generate_series(1, %(people)s) n
    ) u
"""
# What each of them has: columns beside the person's key, and their values.
_HELD = {
    "customer_past": ("until, address_mask, valid_mask, bounced_mask, complained_mask, place", "now(), 0, 0, 0, 0, ''"),
    "customer_merged": (
        "external_id, merged_into, created_at, merged_at",
        "external_id, gen_random_uuid(), now(), now()",
    ),
    "subscription": ("topic_id, channels, changed_at", "%(topic)s, 2, now()"),
    "consent_event": (
        "event_id, at, kind, topic_id, channels, source",
        "gen_random_uuid(), now(), 'subscribed', %(topic)s, 2, 'api'",
    ),
    "customer_tag": ("tag_id, place, tagged_at", "%(tag)s, 0, now()"),
    "customer_event": ("at, event_id, name", "now(), gen_random_uuid(), 'order'"),
    "send_context": ("execution_id", "%(run)s"),
    "cast_member": ("execution_id, routes", "%(run)s, 1"),
    "contact": ("execution_id, channel, at, campaign_id", "%(run)s, 1, now(), gen_random_uuid()"),
}
FOUND_BY = ("customer_id", "merged_into", "shown_as", "execution_id")


@pytest.fixture
def conn(database_dsn: str) -> Iterator[Conn]:
    ids = {"ours": OURS, "others": OTHERS, "people": PEOPLE, "topic": TOPIC, "tag": TAG, "run": RUN}
    with psycopg.connect(database_dsn, autocommit=True) as opened:
        opened.execute(_CUSTOMERS, ids)
        for table, (columns, values) in _HELD.items():
            filling = (
                f"INSERT INTO {table} (part, customer_id, brand_id, {columns})"  # noqa: S608
                f" SELECT part, customer_id, brand_id, {values} FROM customer"
            )
            opened.execute(filling.encode(), ids)
        opened.execute("ANALYZE")
        yield opened


def test_whoever_is_erased_is_found_by_an_index(conn: Conn):
    statements = {name: statement for name, statement in sql_blocks() if name.startswith("erasures/")}
    assert len(statements) > 50
    filled = {
        row[0] for row in conn.execute("SELECT relname FROM pg_class WHERE relkind = 'r' AND reltuples >= 100000")
    }
    assert len(filled) == 1 + len(_HELD)
    loose: dict[str, Any] = {}
    asked = 0
    with conn.transaction():
        # As those who erase do first of all.
        conn.execute(ByKeys.go_by_keys.text.encode(), prepare=False)
        conn.execute("SET LOCAL plan_cache_mode = force_generic_plan")
        for name, statement in statements.items():
            prepare(conn, statement)
            nothing = f"({', '.join(['NULL'] * len(statement.parameters))})" if statement.parameters else ""
            explained = conn.execute(
                cast("LiteralString", f"EXPLAIN (FORMAT JSON) EXECUTE block{nothing}"), prepare=False
            ).fetchone()
            assert explained is not None
            plan = explained[0] if isinstance(explained[0], list) else json.loads(explained[0])
            for node in scans(plan[0]["Plan"], filled):
                asked += 1
                if not any(column in node.get("Index Cond", "") for column in FOUND_BY):
                    loose[name] = node

    assert loose == {}
    assert asked > 50


def scans(node: dict[str, Any], tables: set[str]) -> Iterator[dict[str, Any]]:
    """The nodes that look for rows in these tables; of a bitmap those that look into an index."""
    if node["Node Type"] == "Bitmap Heap Scan" and node["Relation Name"] in tables:
        yield from leaves(node)
    elif node.get("Relation Name") in tables and node["Node Type"] != "ModifyTable":
        yield node
    else:
        for child in node.get("Plans", ()):
            yield from scans(child, tables)


def leaves(node: dict[str, Any]) -> Iterator[dict[str, Any]]:
    below = node.get("Plans", ())
    if not below:
        yield node
    for child in below:
        yield from leaves(child)
