"""What a service pulled, in the verdict: its own ledger against the database, person by person.

Whoever is on a page that the service has is handed over, once; whoever is handed over is on such a page, or is named in doubt. Who
left is on no list that was asked for after that, and on those before is revoked, within five seconds in which a watcher lived and
could work, or fifteen of one who has more to catch up with. What the service reported of people is there once.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, LiteralString, NamedTuple
from uuid import UUID

from stentor.testing.torture.evidence import Workload
from stentor.testing.torture.pull_ledger import Taken, TakenRun, read_pulled
from stentor.testing.torture.watching import due_at_s

if TYPE_CHECKING:
    import psycopg

_HANDED_OVER, _SKIPPED = 2, 3
_REVOKED = 26


class Broken(NamedTuple):
    """A line of the certificate that does not hold, and why; `times` people."""

    line: str
    what: str
    times: int = 1


class Stand(NamedTuple):
    """How a send stands."""

    state: int
    reason: int


class PulledExecution(NamedTuple):
    """An execution that the service had to execute: its id, its topic, its CampaignID, and what the service has of it."""

    id: UUID
    topic: str
    campaign: int
    taken: TakenRun


class PullVerdict:
    """What a service's ledger has to say; without one there was no service."""

    def __init__(
        self,
        conn: "psycopg.Connection[tuple[Any, ...]]",
        workload: Workload,
        ledger: Path | None,
        names: Mapping[UUID, str],
    ) -> None:
        self._conn = conn
        self._workload = workload
        self._names = names
        self._taken = read_pulled(ledger) if ledger else Taken()
        self._numbers: dict[UUID, int] = dict(self._rows(_NUMBERS)) if ledger else {}
        self.pulled = 0
        self.revoked = 0

    def of(self, execution: UUID, topic: str) -> PulledExecution | None:
        """What the service has of an execution; None of one that it has nothing to do with."""
        campaign = self._numbers.get(execution)
        if campaign is None:
            return None
        return PulledExecution(execution, topic, campaign, self._taken.runs[campaign])

    def has(self, pulled: PulledExecution, name: str) -> bool:
        """Whether the service has this person, or names them in doubt."""
        taken = pulled.taken
        # A first page that was written out and that nobody read: the list that was asked for after it has only who may be written to.
        is_missed = taken.may_have_missed and any(name == revoked for _, revoked in taken.revoked)
        return name in taken.people or name in taken.doubted or is_missed

    def refused(self) -> Iterator[Broken]:
        """Answers that no outage explains, and campaigns that there are not."""
        for why in self._taken.refused:
            yield Broken("lost", why)
        for campaign in self._taken.runs.keys() - self._numbers.values():
            yield Broken("unbalanced", f"campaign {campaign} was executed and is not there")

    def broken(self, pulled: PulledExecution, stands: Mapping[str, Stand]) -> Iterator[Broken]:
        """All that does not hold of an execution, but for people who are handed over and whom the service has not."""
        self.pulled += len(pulled.taken.people)
        yield from self._of_lists(pulled, stands)
        yield from self._of_hand_over(pulled, stands)
        yield from self._of_revocations(pulled)
        yield from self._of_departures(pulled, stands)
        yield from self._of_reports(pulled, stands)

    def _of_lists(self, pulled: PulledExecution, stands: Mapping[str, Stand]) -> Iterator[Broken]:
        where, revoked = f"campaign {pulled.campaign}", {name for _, name in pulled.taken.revoked}
        if not pulled.taken.is_noticed:
            yield Broken("lost", f"of {where} the service was never told")
        for one in pulled.taken.lists.values():
            for name, times in one.people.items():
                if times > 1:
                    yield Broken("doubled", f"{name} of {where} is on one list {times} times", times - 1)
            for name in one.people.keys() | one.doubted:
                left = self._workload.departures.get((name, pulled.topic))
                if left and left.acknowledged_ns and one.asked_ns > left.acknowledged_ns:
                    late_s = (one.asked_ns - left.acknowledged_ns) / 1e9
                    yield Broken(
                        "opted_out_contacted",
                        f"{name} of {where} is on a list that was asked for {late_s:.1f} s after they left",
                    )
        for name in pulled.taken.people:
            stand = stands.get(name)
            if stand is None:
                yield Broken("unbalanced", f"{name} was pulled of {where}, and has no send in it")
            elif stand.state != _HANDED_OVER and not (stand == (_SKIPPED, _REVOKED) and name in revoked):
                yield Broken(
                    "unbalanced", f"{name} was pulled of {where}, and is in state {stand.state} for {stand.reason}"
                )

    def _of_hand_over(self, pulled: PulledExecution, stands: Mapping[str, Stand]) -> Iterator[Broken]:
        for customer, tries in self._rows(_TRIES, pulled.id):
            yield Broken(
                "doubled", f"{self._names[customer]} of campaign {pulled.campaign} was handed over {tries} times"
            )
        handed_over = sum(stand.state == _HANDED_OVER for stand in stands.values())
        ((by_pages,),) = self._rows(_BY_PAGES, pulled.id)
        if by_pages != handed_over:
            yield Broken(
                "unbalanced",
                f"campaign {pulled.campaign}: pages handed over {by_pages}, and {handed_over} people are",
            )

    def _of_revocations(self, pulled: PulledExecution) -> Iterator[Broken]:
        where = f"campaign {pulled.campaign}"
        written = {number: (customer, at_s) for customer, number, at_s in self._rows(_REVOCATIONS, pulled.id)}
        self.revoked += len(written)
        if sorted(written) != list(range(1, len(written) + 1)):
            yield Broken("unbalanced", f"the revocations of {where} are not numbered from 1 to {len(written)}")
        fed = Counter(number for number, _ in pulled.taken.revoked)
        for number, times in fed.items():
            if times > 1:
                yield Broken("doubled", f"revocation {number} of {where} came {times} times", times - 1)
        for number in written.keys() ^ fed.keys():
            line, place = ("lost", "table") if number in written else ("unbalanced", "feed")
            yield Broken(line, f"revocation {number} of {where} is in the {place} alone")
        for customer, _ in written.values():
            if (self._names[customer], pulled.topic) not in self._workload.departures:
                yield Broken("wrongly_withheld", f"{self._names[customer]} of {where} was revoked, and never left")

    def _of_departures(self, pulled: PulledExecution, stands: Mapping[str, Stand]) -> Iterator[Broken]:
        """Who is on one of its lists and left has to be revoked, by then."""
        revoked_at_s = {self._names[customer]: at_s for customer, _, at_s in self._rows(_REVOCATIONS, pulled.id)}
        # Who was doubted, and not handed over as far as the hub knows, was asked about again by the list after that.
        doubted = {name for name in pulled.taken.doubted if stands[name].state == _HANDED_OVER}
        for name in pulled.taken.people | doubted:
            left = self._workload.departures.get((name, pulled.topic))
            if left is None or left.acknowledged_ns is None:
                continue
            who, since_s = f"{name} of campaign {pulled.campaign}", self._workload.at_s(left.acknowledged_ns)
            if name not in revoked_at_s:
                yield Broken("opted_out_contacted", f"{who} left, and the service was never told")
            elif revoked_at_s[name] > (due_s := due_at_s(self._workload.watched, since_s)):
                took_s, could_s = revoked_at_s[name] - since_s, due_s - since_s
                what = f"{who} was revoked {took_s:.1f} s after they left, and a watcher had had time to within {could_s:.1f} s"
                yield Broken("opted_out_contacted", what)

    def _of_reports(self, pulled: PulledExecution, stands: Mapping[str, Stand]) -> Iterator[Broken]:
        where = f"campaign {pulled.campaign}"
        found = Counter({self._names[customer]: times for customer, times in self._rows(_DELIVERED, pulled.id)})
        for name, times in found.items():
            if times > 1:
                yield Broken("doubled", f"the delivery to {name} of {where} is there {times} times", times - 1)
            if name not in pulled.taken.telling:
                yield Broken("unbalanced", f"the delivery to {name} of {where} was never reported")
        for name in pulled.taken.told - found.keys():
            if stands[name].state == _HANDED_OVER:
                yield Broken("lost", f"the delivery to {name} of {where} was reported, and is not there")
        ((counted,),) = self._rows(_COUNTED, pulled.id)
        if counted != len(found):
            yield Broken("unbalanced", f"{where} counts {counted} deliveries of {len(found)}")

    def _rows(self, query: LiteralString, *values: object) -> list[tuple[Any, ...]]:
        return self._conn.execute(query, values).fetchall()


_NUMBERS: LiteralString = "SELECT execution_id, number FROM partner_run"
_TRIES: LiteralString = "SELECT customer_id, tries FROM send WHERE execution_id = %s AND state = 2 AND tries <> 1"
_BY_PAGES: LiteralString = """
    SELECT coalesce(sum(g.handed_over), 0)::integer FROM pull p JOIN pull_page g ON g.pull_id = p.id WHERE p.execution_id = %s"""
_REVOCATIONS: LiteralString = """
    SELECT customer_id, number::integer, extract(epoch FROM at)::float FROM revocation WHERE execution_id = %s"""
_DELIVERED: LiteralString = """
    SELECT customer_id, count(*)::integer FROM delivery_event
    WHERE execution_id = %s AND kind = 'delivered' AND partner_channel IS NOT NULL GROUP BY customer_id"""
_COUNTED: LiteralString = """
    SELECT coalesce(sum(people), 0)::integer FROM fact_tally WHERE execution_id = %s AND kind = 1"""
