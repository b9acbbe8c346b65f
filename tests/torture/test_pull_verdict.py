"""The verdict sees what it must see of lists that were pulled: each line moves when its promise is broken."""

import asyncio
import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from math import inf
from pathlib import Path
from typing import LiteralString

import psycopg
import pytest

from pull_world import Stage
from revocation_world import feed, made
from stentor.audience.model import Act, Source
from stentor.audience.subscriptions import SubscriptionService
from stentor.clock import Clock
from stentor.db.pool import Database
from stentor.domain.ids import customer_id
from stentor.integrations.metrics.model import FactKind, ToldFact
from stentor.integrations.metrics.telling import FactService
from stentor.testing.databases import TestDatabases
from stentor.testing.torture.chronicle import Chronicle
from stentor.testing.torture.verdict import Verdict, judge
from stentor.testing.torture.watching import Watching, due_at_s

NAMES = [f"p{number}" for number in range(6)]
LEAVER, STAYER = "p1", "p4"
LISTED = 1

ID_OF: LiteralString = """
    CREATE FUNCTION id_of(name text) RETURNS uuid LANGUAGE sql
    AS 'SELECT customer_id FROM customer WHERE external_id = name'"""


class Pulled:
    """One list that a service pulled in full, whose evidence a test may forge."""

    def __init__(self, dsn: str, chronicle: Path, ledger: Path) -> None:
        self.dsn = dsn
        self.chronicle = chronicle
        self.ledger = ledger

    def judged(self) -> Verdict:
        return judge(self.dsn, self.chronicle, [], seed=1, pulled=self.ledger)

    def run(self, statement: LiteralString, *values: object) -> None:
        with psycopg.connect(self.dsn) as conn:
            conn.execute(statement, values)

    def note(self, what: str, **facts: object) -> None:
        with Chronicle(self.ledger) as notes:
            notes.note(what, **facts)

    def forget(self, what: str) -> None:
        """The ledger has no such notes."""
        lines = self.ledger.read_text().splitlines()
        self.ledger.write_text("".join(f"{line}\n" for line in lines if json.loads(line)["what"] != what))

    def taken(self, *people: str) -> None:
        """The page that the service has has these people on it."""
        self.forget("taken")
        self.note("taken", list=LISTED, people=list(people))


@pytest.fixture(scope="module")
def original(databases: TestDatabases, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pulled]:
    folder = tmp_path_factory.mktemp("pulled")
    with databases.migrated() as dsn:
        pulled = Pulled(dsn, folder / "chronicle", folder / "ledger")
        asyncio.run(live(pulled))
        pulled.run(ID_OF)
        yield pulled


@pytest.fixture
def pulled(original: Pulled, databases: TestDatabases, tmp_path: Path) -> Iterator[Pulled]:
    with databases.copied(original.dsn) as dsn:
        copy = Pulled(dsn, tmp_path / "chronicle", tmp_path / "ledger")
        copy.chronicle.write_bytes(original.chronicle.read_bytes())
        copy.ledger.write_bytes(original.ledger.read_bytes())
        yield copy


async def live(pulled: Pulled) -> None:
    """A list is pulled, somebody leaves and is revoked, and what was delivered is reported."""
    with Chronicle(pulled.chronicle) as chronicle, Chronicle(pulled.ledger) as ledger:
        async with Database(pulled.dsn, size=5) as db:
            stage = await made(db, NAMES)
            brand_id = stage.world.brand_id
            chronicle.note("began", rules={}, fault_kinds=[])
            chronicle.note("watched", is_watched=True)
            chronicle.people("news", NAMES)
            chronicle.called("call", "news")
            campaign, execution_id = await stage.campaign()
            chronicle.accepted("call", "news", str(execution_id))

            ledger.note("noticed", campaign=campaign)
            ledger.note("asked", list=LISTED, campaign=campaign)
            ledger.note("taken", list=LISTED, people=await stage.client.names(campaign))
            chronicle.leaving(LEAVER, "news")
            act, leaver = Act(source=Source.API), customer_id(brand_id, LEAVER)
            await SubscriptionService(db).withdraw(brand_id, leaver, stage.world.topic_id, act)
            chronicle.left(LEAVER, "news")
            await stage.pulls.look()
            for one in await feed(stage):
                ledger.note("revoked", campaign=campaign, number=one.number, person=one.external_id)
            ledger.note("telling", campaign=campaign, people=NAMES)
            await report(stage, campaign)
            ledger.note("told", campaign=campaign, people=NAMES)
            chronicle.note("ended")


async def report(stage: Stage, campaign: int) -> None:
    at = datetime.now(UTC)
    facts = [
        ToldFact(id=name, campaign=campaign, channel=505, external_id=name, kind=FactKind.DELIVERED, at=at)
        for name in NAMES
    ]
    await FactService(stage.world.db, Clock()).tell(stage.world.brand_id, facts, actor="key 7")


def test_a_list_that_was_pulled_in_full_breaks_no_line(pulled: Pulled):
    verdict = pulled.judged()

    assert verdict.certificate.broken == [], verdict.examples
    assert (verdict.certificate.pulled, verdict.certificate.revoked) == (len(NAMES), 1)


FORGED: dict[str, tuple[Callable[[Pulled], object], list[str]]] = {
    "twice on one list": (lambda of: of.taken(*NAMES, STAYER), ["doubled"]),
    "handed over and on no page": (lambda of: of.taken(*NAMES[:4], NAMES[5]), ["lost"]),
    "handed over twice": (lambda of: of.run("UPDATE send SET tries = 2 WHERE customer_id = id_of('p4')"), ["doubled"]),
    "pending still": (
        lambda of: of.run("UPDATE send SET state = 0 WHERE customer_id = id_of('p4')"),
        ["lost", "unbalanced"],
    ),
    "skipped and on a page": (
        lambda of: of.run("UPDATE send SET state = 3, reason = 2 WHERE customer_id = id_of('p4')"),
        ["wrongly_withheld", "unbalanced"],
    ),
    "not of a page": (lambda of: of.run("UPDATE pull_page SET handed_over = handed_over - 1"), ["unbalanced"]),
    "on a list asked for later": (lambda of: of.note("asked", list=LISTED, campaign=1), ["opted_out_contacted"]),
    "never told": (lambda of: (of.forget("revoked"), of.run("DELETE FROM revocation")), ["opted_out_contacted"]),
    "in no feed": (lambda of: of.forget("revoked"), ["lost"]),
    "told late": (lambda of: of.run("UPDATE revocation SET at = at + interval '20 s'"), ["opted_out_contacted"]),
    "somebody else revoked": (
        lambda of: of.run("UPDATE revocation SET customer_id = id_of('p4')"),
        ["opted_out_contacted", "wrongly_withheld"],
    ),
    "another number": (lambda of: of.run("UPDATE revocation SET number = 2"), ["lost", "unbalanced"]),
    "a report lost": (
        lambda of: of.run("DELETE FROM delivery_event WHERE customer_id = id_of('p4')"),
        ["lost", "unbalanced"],
    ),
    "reported by nobody": (lambda of: of.forget("telling"), ["unbalanced"]),
    "counted twice": (lambda of: of.run("UPDATE fact_tally SET people = people + 1"), ["unbalanced"]),
    "refused": (lambda of: of.note("refused", campaign=1, why="500"), ["lost"]),
    "never noticed": (lambda of: of.forget("noticed"), ["lost"]),
}


@pytest.mark.parametrize(("forged", "lines"), FORGED.values(), ids=FORGED)
def test_what_breaks_a_promise_is_seen(pulled: Pulled, forged: Callable[[Pulled], object], lines: list[str]):
    forged(pulled)

    assert set(pulled.judged().certificate.broken) == set(lines)


def test_whom_a_worker_of_the_service_died_with_is_named_in_doubt_and_not_lost(pulled: Pulled):
    pulled.taken(*(name for name in NAMES if name != STAYER))
    pulled.note("doubted", list=LISTED, people=[STAYER])

    assert pulled.judged().certificate.broken == []


def test_while_no_watcher_lives_nobody_keeps_its_promise(pulled: Pulled):
    lines = pulled.chronicle.read_text().splitlines()
    pulled.chronicle.write_text("".join(f"{line}\n" for line in lines if json.loads(line)["what"] != "watched"))
    pulled.run("UPDATE revocation SET at = at + interval '20 s'")

    assert pulled.judged().certificate.broken == []


def test_a_watcher_has_five_seconds_for_who_leaves_and_fifteen_for_what_none_could_see():
    watching = Watching()
    for at_s, note in [
        (0.0, {"what": "watched", "is_watched": True}),
        (100.0, {"what": "fault", "kind": "disk_full"}),
        (200.0, {"what": "watched", "is_watched": False}),
        (210.0, {"what": "watched", "is_watched": True}),
        (220.0, {"what": "watched", "is_watched": False}),
        (230.0, {"what": "watched", "is_watched": True}),
    ]:
        watching.take(note | {"at_s": at_s})
    watched = watching.intervals()

    assert watched == [(2.0, 98.5), (104.0, 200.0), (212.0, 220.0), (232.0, inf)]
    assert due_at_s(watched, 50.0) == 56.0
    assert due_at_s(watched, 5.0) == 21.0
    # Struck before it could be held to anything: the next one begins anew.
    assert due_at_s(watched, 97.0) == 104.0 + 16.0
    assert due_at_s(watched, 198.0) == 232.0 + 16.0
