"""The verdict sees what it must see: each line of the certificate moves when its promise is broken."""

import subprocess
import sys
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import LiteralString
from zoneinfo import ZoneInfo

import psycopg
import pytest

from stentor.testing.databases import TestDatabases
from stentor.testing.http_local import HttpSinkProcess
from stentor.testing.smtp_local import SinkProcess
from stentor.testing.torture.chronicle import Chronicle
from stentor.testing.torture.evidence import send_of
from stentor.testing.torture.life import Life, live, prepare
from stentor.testing.torture.verdict import Verdict, judge

pytestmark = pytest.mark.timeout(120)

CHANGE_ONE: LiteralString = """
    UPDATE send SET state = %s, reason = %s
    WHERE execution_id = (SELECT id FROM execution WHERE topic_key = 'sliced')
        AND customer_id = (SELECT customer_id FROM customer WHERE external_id = 'reader-20')"""
DELETE_ONE: LiteralString = """
    DELETE FROM send
    WHERE execution_id = (SELECT id FROM execution WHERE topic_key = 'sliced')
        AND customer_id = (SELECT customer_id FROM customer WHERE external_id = 'reader-20')"""


ALL_IN_DOUBT: LiteralString = """
    INSERT INTO delivery_event (execution_id, customer_id, brand_id, event_id, at, part, channel, kind, sender_id)
    SELECT s.execution_id, s.customer_id, s.brand_id, gen_random_uuid(), s.decided_at, s.part, s.channel, 'in_doubt', r.id
    FROM send s JOIN execution e ON e.id = s.execution_id
        JOIN sender r ON r.name = coalesce(nullif(e.topic_key, ''), e.generator_id)"""
"""One try of everybody was in doubt."""

UNCOUNTED = 2
"""Lines of the tally that a changed send contradicts: the one that it left, and the one that it came to."""


class Lived:
    """One undisturbed life whose evidence a test may forge."""

    def __init__(self, dsn: str, chronicle: Path, ledger: Path) -> None:
        self.dsn = dsn
        self.chronicle = chronicle
        self.ledger = ledger

    def judged(self) -> Verdict:
        return judge(self.dsn, self.chronicle, [self.ledger], seed=1)

    def run(self, statement: LiteralString, *values: object) -> None:
        with psycopg.connect(self.dsn) as conn:
            conn.execute(statement, values)

    def note(self, what: str, **facts: object) -> None:
        with Chronicle(self.chronicle) as notes:
            notes.note(what, **facts)


@pytest.fixture(scope="module")
def original(databases: TestDatabases, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lived]:
    folder = tmp_path_factory.mktemp("life")
    chronicle = folder / "chronicle"
    with Chronicle(chronicle) as notes:
        notes.note("began", rules={}, fault_kinds=["kill_worker"])
    with (
        SinkProcess(folder / "mail") as sink,
        HttpSinkProcess(folder / "hooked") as hooks,
        databases.migrated() as dsn,
    ):
        brand_id = prepare(dsn, sink.port, hooks.port)
        live(Life(dsn, brand_id, chronicle))
        with Chronicle(chronicle) as notes:
            notes.note("ended")
        both = folder / "both.index"
        both.write_bytes((folder / "mail.index").read_bytes() + (folder / "hooked.index").read_bytes())
        yield Lived(dsn, chronicle, both)


@pytest.fixture
def lived(original: Lived, databases: TestDatabases, tmp_path: Path) -> Iterator[Lived]:
    with databases.copied(original.dsn) as dsn:
        chronicle, ledger = tmp_path / "chronicle", tmp_path / "ledger"
        chronicle.write_bytes(original.chronicle.read_bytes())
        ledger.write_bytes(original.ledger.read_bytes())
        yield Lived(dsn, chronicle, ledger)


def test_an_undisturbed_life_breaks_no_line(lived: Lived):
    verdict = lived.judged()

    assert verdict.certificate.broken == [], verdict.examples
    assert verdict.certificate.executions == 8
    assert verdict.certificate.recipients == 116 + 12 + 12 + 10 + 20 + 10 + 4 + 12


def test_a_message_that_nobody_took_is_lost(lived: Lived):
    lived.ledger.write_bytes(lived.ledger.read_bytes().partition(b"\n")[2])

    assert lived.judged().certificate.lost == 1


def test_a_second_copy_is_doubled(lived: Lived):
    text = lived.ledger.read_bytes()
    lived.ledger.write_bytes(text + text.partition(b"\n")[0] + b"\n")

    assert lived.judged().certificate.doubled == 1


@pytest.mark.parametrize(("policy", "doubled", "resent"), [("at_most_once", 1, 0), ("at_least_once", 0, 1)])
def test_a_second_copy_after_a_try_in_doubt_is_explained_by_the_policy_alone(
    lived: Lived, policy: str, doubled: int, resent: int
):
    add_copy(lived, "smtp")
    lived.run(ALL_IN_DOUBT)
    lived.run("UPDATE sender SET in_doubt = %s", policy)
    lived.note("fault", kind="kill_worker", kills=1, on_wire=1, allows=1, repeats=0)

    certificate = lived.judged().certificate

    assert (certificate.doubled, certificate.resent) == (doubled, resent)


def test_a_second_copy_of_a_webhook_is_explained_where_its_sender_says_nothing(lived: Lived):
    add_copy(lived, "webhook")
    lived.run(ALL_IN_DOUBT)
    lived.note("fault", kind="http_drop", kills=0, on_wire=0, allows=0, repeats=1)

    certificate = lived.judged().certificate

    assert (certificate.doubled, certificate.resent) == (0, 1)


@pytest.mark.parametrize(("kind", "allows", "repeats"), [("smtp", 0, 1), ("webhook", 1, 0)])
def test_doubt_that_no_fault_explains_is_no_excuse_for_a_second_copy(
    lived: Lived, kind: str, allows: int, repeats: int
):
    add_copy(lived, kind)
    lived.run(ALL_IN_DOUBT)
    lived.run("UPDATE sender SET in_doubt = 'at_least_once'")
    lived.note("fault", kind="kill_worker", kills=1, on_wire=1, allows=allows, repeats=repeats)

    certificate = lived.judged().certificate

    assert (certificate.doubled, certificate.resent) == (1, 0)


def test_what_stays_in_doubt_is_no_excuse_for_a_second_copy_of_somebody_else(lived: Lived):
    add_copy(lived, "smtp")
    lived.run(ALL_IN_DOUBT)
    lived.run("UPDATE sender SET in_doubt = 'at_least_once'")
    lived.run(CHANGE_ONE, 5, 0)
    lived.note("fault", kind="kill_worker", kills=1, on_wire=1, allows=1, repeats=0)

    certificate = lived.judged().certificate

    assert (certificate.unknown, certificate.doubled, certificate.resent) == (1, 1, 0)


def add_copy(lived: Lived, kind: str) -> None:
    """The ledger has one message twice, which went by that kind of sender."""
    lines = lived.ledger.read_bytes().splitlines(keepends=True)
    number = 8 if kind == "webhook" else 1
    copy = next(line for line in lines if send_of(line.split(b" ")[3].decode()).channel == number)
    lived.ledger.write_bytes(b"".join([*lines, copy]))


def test_a_message_to_another_address_is_lost(lived: Lived):
    lines = lived.ledger.read_text().splitlines()
    lines[0] = lines[0].rpartition(" ")[0] + " stranger@example.com"
    lived.ledger.write_text("\n".join([*lines, ""]))

    assert lived.judged().certificate.lost == 1


def test_who_is_still_pending_is_lost(lived: Lived):
    lived.run(CHANGE_ONE, 0, 0)

    assert lived.judged().certificate.lost == 1


def test_who_has_no_send_is_lost(lived: Lived):
    lived.run(DELETE_ONE)

    assert lived.judged().certificate.lost == 1


def test_an_acknowledged_call_that_left_no_execution_is_lost(lived: Lived):
    lived.note("called", key="k", topic="news")
    lived.note("accepted", key="k", topic="news", execution="019f0000-0000-7000-8000-000000000000")

    assert lived.judged().certificate.lost == 1


def test_two_executions_under_one_key_are_doubled(lived: Lived):
    with psycopg.connect(lived.dsn) as conn:
        row = conn.execute("SELECT id FROM execution WHERE topic_key = 'again'").fetchone()
    assert row is not None
    lived.note("accepted", key="news", topic="news", execution=str(row[0]))

    assert lived.judged().certificate.doubled == 1


def test_an_execution_more_than_calls_is_doubled_though_nobody_heard_of_it(lived: Lived):
    lived.run("""
        INSERT INTO execution
        SELECT (jsonb_populate_record(e, jsonb_build_object('id', gen_random_uuid()))).*
        FROM execution e WHERE topic_key = 'news'""")

    assert lived.judged().certificate.doubled == 1


def test_an_occurrence_that_was_started_twice_is_doubled(lived: Lived):
    lived.run("""
        UPDATE execution e SET schedule_id = s.schedule_id, occurrence_at = s.occurrence_at
        FROM execution s WHERE s.schedule_id IS NOT NULL AND e.topic_key = 'news'""")

    assert lived.judged().certificate.doubled == 1


def test_an_occurrence_that_nobody_decided_is_lost(lived: Lived):
    lived.run("UPDATE schedule SET next_at = seen_at + interval '1 day', next_local = seen_local")

    assert lived.judged().certificate.lost == 1


def test_who_is_in_doubt_is_unknown_and_needs_a_fault_that_allows_it(lived: Lived):
    lived.run(CHANGE_ONE, 5, 0)
    without_cause = lived.judged().certificate
    lived.note("fault", kind="kill_worker", kills=1, on_wire=1, allows=1, repeats=0)
    with_cause = lived.judged().certificate

    assert (without_cause.unknown, without_cause.unknown_allowed, "unknown" in without_cause.broken) == (1, 0, True)
    assert (with_cause.unknown, with_cause.unknown_allowed, "unknown" in with_cause.broken) == (1, 1, False)
    assert (with_cause.kills, with_cause.kills_on_wire, with_cause.faults) == (1, 1, {"kill_worker": 1})


def test_a_message_long_after_an_acknowledged_opt_out_is_a_contact(lived: Lived):
    lived.note("leaving", person="reader-1", topic="news")
    lived.note("left", person="reader-1", topic="news")
    lines = lived.ledger.read_text().splitlines()
    at_ns, rest = next(line for line in lines if line.endswith(" reader-1@example.com")).split(" ", 1)
    late = f"{int(at_ns) + 3600 * 10**9} {rest}"
    lived.ledger.write_text("\n".join([*(line for line in lines if not line.endswith(rest)), late, ""]))

    assert lived.judged().certificate.opted_out_contacted == 1


def test_an_acknowledged_opt_out_that_is_gone_is_lost(lived: Lived):
    lived.run("UPDATE subscription SET channels = 2 WHERE channels = 0")

    assert lived.judged().certificate.lost == 1


def test_who_is_skipped_without_having_left_is_wrongly_withheld(lived: Lived):
    lived.run(CHANGE_ONE, 3, 2)

    assert lived.judged().certificate.wrongly_withheld == 1


def test_counters_that_rows_contradict_are_unbalanced(lived: Lived):
    lived.run("UPDATE tally SET sends = sends + 1 WHERE ctid = (SELECT ctid FROM tally WHERE state = 2 LIMIT 1)")

    assert lived.judged().certificate.unbalanced == 1


@pytest.mark.parametrize(("policy", "unbalanced"), [("at_most_once", 1), ("at_least_once", 0)])
def test_who_left_before_the_next_try_may_have_got_the_first_one_under_that_policy_alone(
    lived: Lived, policy: str, unbalanced: int
):
    lived.run(ALL_IN_DOUBT)
    lived.run("UPDATE sender SET in_doubt = %s", policy)
    lived.run(CHANGE_ONE, 3, 2)

    certificate = lived.judged().certificate

    assert certificate.unbalanced - UNCOUNTED == unbalanced


@pytest.mark.parametrize(("zone", "violations"), [("Asia/Kolkata", 2), ("Pacific/Honolulu", 0)])
def test_a_message_in_somebodys_night_is_a_violation(lived: Lived, zone: str, violations: int):
    # The window is on the walls of Kolkata. That person heard of "news" and of "sliced".
    lived.note("began", rules=quiet("skip", zone), fault_kinds=[])

    assert lived.judged().certificate.quiet_violations == violations


@pytest.mark.parametrize(
    ("action", "zone", "withheld"),
    [("skip", "Asia/Kolkata", 0), ("hold", "Asia/Kolkata", 1), ("skip", "Pacific/Honolulu", 1)],
)
def test_who_is_skipped_for_a_night_that_is_none_of_theirs_is_wrongly_withheld(
    lived: Lived, action: str, zone: str, withheld: int
):
    lived.run(CHANGE_ONE, 3, 7)
    lived.note("began", rules=quiet(action, zone), fault_kinds=[])

    assert lived.judged().certificate.wrongly_withheld == withheld


@pytest.mark.parametrize(("zone", "withheld"), [("Asia/Kolkata", 0), ("Pacific/Honolulu", 1)])
def test_only_who_is_in_their_night_may_be_held_at_the_end(lived: Lived, zone: str, withheld: int):
    lived.run(CHANGE_ONE, 1, 27)
    lived.run("UPDATE execution SET state = 'sending', ended_at = NULL WHERE topic_key = 'sliced'")
    lived.note("began", rules=quiet("hold", zone), fault_kinds=[])

    certificate = lived.judged().certificate

    assert (certificate.lost, certificate.wrongly_withheld) == (0, withheld)


def test_an_execution_that_did_not_end_and_holds_nobody_is_lost(lived: Lived):
    lived.run("UPDATE execution SET state = 'sending', ended_at = NULL WHERE topic_key = 'sliced'")

    assert lived.judged().certificate.lost == 1


def quiet(action: str, zone: str) -> dict[str, object]:
    """Quiet hours around this very time on the clocks of Kolkata, and where that person lives."""
    now = datetime.now(ZoneInfo("Asia/Kolkata"))
    half = timedelta(minutes=30)
    window = {
        "topics": ["sliced", "news"],
        "action": action,
        "since": f"{now - half:%H:%M}",
        "until": f"{now + half:%H:%M}",
    }
    return {"quiet_hours": [window], "zones": [{"zone": zone, "people": ["reader-20"]}]}


@pytest.mark.parametrize(("at_most", "violations"), [(1, 12), (2, 0)])
def test_one_message_more_than_a_cap_allows_is_a_violation(lived: Lived, at_most: int, violations: int):
    # The dozen of "again" hear of it twice, by a call and by a schedule.
    lived.note("began", rules={"caps": [cap(at_most, "again")]}, fault_kinds=[])

    assert lived.judged().certificate.cap_violations == violations


def test_who_is_withheld_for_a_cap_that_is_not_met_is_wrongly_withheld(lived: Lived):
    lived.run(CHANGE_ONE, 3, 6)
    lived.note("began", rules={"caps": [cap(2, "sliced", "news")]}, fault_kinds=[])
    # That person heard of "news", and the copy of "sliced" that is in the ledger counts too.
    with_two = lived.judged().certificate.wrongly_withheld
    without_sliced(lived)
    with_one = lived.judged().certificate.wrongly_withheld

    assert (with_two, with_one) == (0, 1)


def test_what_was_in_doubt_or_on_the_wire_counts_towards_a_cap(lived: Lived):
    lived.run(CHANGE_ONE, 3, 6)
    without_sliced(lived)
    lived.note("began", rules={"caps": [cap(2, "sliced", "news")]}, fault_kinds=[])
    lived.run(
        "UPDATE send SET state = 5 WHERE state = 2 AND execution_id = (SELECT id FROM execution WHERE topic_key = 'news')"
    )
    in_doubt = lived.judged().certificate.wrongly_withheld
    lived.run("UPDATE send SET state = 2 WHERE state = 5")
    lived.run(
        "UPDATE wave SET settled_at = NULL WHERE execution_id = (SELECT id FROM execution WHERE topic_key = 'news')"
    )
    on_the_wire = lived.judged().certificate.wrongly_withheld

    assert (in_doubt, on_the_wire) == (0, 0)


@pytest.mark.parametrize(("after_s", "withheld"), [(-1, 1), (1, 0)])
def test_a_wave_that_was_opened_after_somebody_was_skipped_does_not_count_for_them(
    lived: Lived, after_s: int, withheld: int
):
    lived.run(CHANGE_ONE, 3, 6)
    without_sliced(lived)
    lived.note("began", rules={"caps": [cap(2, "sliced", "news")]}, fault_kinds=[])
    lived.run(
        "UPDATE wave SET settled_at = NULL WHERE execution_id = (SELECT id FROM execution WHERE topic_key = 'news')"
    )
    lived.note("leaving", person="reader-20", topic="news")
    lived.run(
        """
        UPDATE send s SET state = 3, reason = 2, decided_at = w.opened_at + %s * interval '1 second'
        FROM execution e, customer c, (SELECT execution_id, min(opened_at) AS opened_at FROM wave GROUP BY 1) w
        WHERE e.topic_key = 'news' AND c.external_id = 'reader-20'
            AND s.execution_id = e.id AND w.execution_id = e.id AND s.customer_id = c.customer_id""",
        after_s,
    )

    assert lived.judged().certificate.wrongly_withheld == withheld


def cap(at_most: int, *topics: str) -> dict[str, object]:
    return {"at_most": at_most, "per_s": 3_600, "topics": topics}


def without_sliced(lived: Lived) -> None:
    """Takes the only message out of the ledger that the changed person got of that topic, and no wave was open lately."""
    lived.run(
        "UPDATE wave SET opened_at = opened_at - interval '1 minute', settled_at = settled_at - interval '1 minute'"
    )
    with psycopg.connect(lived.dsn) as conn:
        row = conn.execute("SELECT id FROM execution WHERE topic_key = 'sliced'").fetchone()
    assert row is not None
    lines = lived.ledger.read_text().splitlines()
    kept = [
        line
        for line in lines
        if not (line.endswith(" reader-20@example.com") and send_of(line.split(" ")[3]).execution == row[0].bytes)
    ]
    assert len(kept) == len(lines) - 1
    lived.ledger.write_text("\n".join([*kept, ""]))


def test_it_knows_the_engine_by_its_tables_alone():
    program = "import sys, stentor.testing.torture.verdict; print(*(name for name in sys.modules if name.startswith('stentor')))"

    done = subprocess.run([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, check=True)

    parts = [
        "",
        ".testing",
        ".testing.torture",
        *(
            f".testing.torture.{name}"
            for name in ("cap_verdict", "certificate", "evidence", "pull_ledger", "pull_verdict")
        ),
        *(f".testing.torture.{name}" for name in ("quiet_verdict", "verdict", "watching")),
    ]
    assert set(done.stdout.split()) == {f"stentor{part}" for part in parts}
