"""The verdict: ledgers ⋈ database ⋈ workload, person by person. It knows the engine by its tables alone.

Run it when everything has come to rest: what is still pending then counts as lost. Whoever is held has to be in their night.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, LiteralString, NamedTuple, TypeAlias
from uuid import UUID

import psycopg

from stentor.testing.torture.cap_verdict import CapVerdict, Withheld
from stentor.testing.torture.certificate import Certificate
from stentor.testing.torture.evidence import Taken, Workload, read_chronicle, read_ledgers
from stentor.testing.torture.pull_verdict import PullVerdict, Stand
from stentor.testing.torture.quiet_verdict import QuietVerdict

OPT_OUT_S_MAX = 5.0
"""P5: after so long nothing is handed over any more, whatever happened to the worker."""

_PENDING, _HELD, _HANDED_OVER, _SKIPPED, _FAILED, _UNKNOWN = range(6)
_UNSUBSCRIBED, _SUPPRESSED, _FREQUENCY_CAP, _QUIET_HOURS_CANCELLED, _QUIET_HOURS = 2, 3, 6, 7, 27
_IN_DOUBT = 28  # settled as failed by somebody who knew
_REVOKED = 26

_CLOCKS_DIFFER_S = 1.0
"""How far an opt-out's time as its client saw it and a publication's as the database has it may be apart on one machine."""

_WEBHOOK = 8  # the channel

_Row: TypeAlias = tuple[Any, ...]


class _Send(NamedTuple):
    customer: UUID
    channel: int
    state: int
    reason: int
    decided_at_s: float


@dataclass
class _Execution:
    id: UUID
    topic: str
    state: str
    published_at_s: float | None
    audience_size: int
    is_called: bool


@dataclass
class _Counts:
    lost: int = 0
    doubled: int = 0
    unknown: int = 0
    opted_out_contacted: int = 0
    cap_violations: int = 0
    quiet_violations: int = 0
    wrongly_withheld: int = 0
    unbalanced: int = 0
    resent: int = 0
    recipients: int = 0
    examples: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))

    def add(self, line: str, what: str, times: int = 1) -> None:
        """Counts it, and keeps the first few for whoever has to find out why."""
        if times:
            setattr(self, line, getattr(self, line) + times)
            if len(self.examples[line]) < _EXAMPLES_MAX:
                self.examples[line].append(what)


_EXAMPLES_MAX = 5


@dataclass(frozen=True)
class Verdict:
    """The certificate, how long the run was, and a few examples for each line that does not hold."""

    certificate: Certificate
    minutes: float
    examples: dict[str, list[str]]


def judge(
    dsn: str,
    chronicle: Path,
    ledgers: Sequence[Path],
    *,
    seed: int,
    opt_out_s_max: float = OPT_OUT_S_MAX,
    pulled: Path | None = None,
) -> Verdict:
    """Joins everything. The database may be reached by any road; nothing is written. `pulled`: the ledger of a service."""
    workload = read_chronicle(chronicle)
    with psycopg.connect(dsn) as conn:
        judging = _Judging(conn, workload, read_ledgers(ledgers), opt_out_s_max, pulled)
        executions = judging.run()
    counts = judging.counts
    certificate = Certificate(
        seed=seed,
        kills=workload.kills,
        kills_on_wire=workload.kills_on_wire,
        executions=executions,
        recipients=counts.recipients,
        pulled=judging.pulls.pulled,
        revoked=judging.pulls.revoked,
        lost=counts.lost,
        doubled=counts.doubled,
        unknown=counts.unknown,
        unknown_allowed=workload.unknown_allowed,
        opted_out_contacted=counts.opted_out_contacted,
        cap_violations=counts.cap_violations,
        quiet_violations=counts.quiet_violations,
        wrongly_withheld=counts.wrongly_withheld,
        unbalanced=counts.unbalanced,
        resent=counts.resent,
        faults={kind: workload.faults[kind] for kind in workload.fault_kinds},
    )
    return Verdict(certificate, workload.minutes, counts.examples)


class _Judging:
    def __init__(
        self,
        conn: "psycopg.Connection[_Row]",
        workload: Workload,
        ledger: Iterable[Taken],
        opt_out_s_max: float,
        pulled: Path | None,
    ) -> None:
        self.counts = _Counts()
        self._conn = conn
        self._workload = workload
        self._opt_out_s_max = opt_out_s_max
        self._people = {customer: (name, email) for customer, name, email in self._rows(_PEOPLE)}
        self._copies: dict[bytes, Counter[tuple[bytes, int]]] = defaultdict(Counter)
        self._repeats: Counter[str] = Counter()
        topics: dict[UUID, str] = dict(self._rows(_TOPICS))
        executions = {execution.bytes: topic for execution, topic in topics.items()}
        self._caps = CapVerdict(conn, workload.caps, topics)
        self._quiet = QuietVerdict(workload.rules)
        names = {customer: name for customer, (name, _) in self._people.items()}
        self.pulls = PullVerdict(conn, workload, pulled, names)
        ((self._judged_at_s,),) = self._rows(_PRESENT)
        for taken in ledger:
            self._weigh(taken, executions.get(taken.send.execution))
        for violation in self._caps.violations():
            self.counts.add("cap_violations", violation)
        for execution, customer, channel in self._rows(_SANDBOX):
            self._copies[execution.bytes][customer.bytes, channel] += 1

    def run(self) -> int:
        """Weighs every execution; returns how many there are."""
        executions = [_Execution(*row) for row in self._rows(_EXECUTIONS)]
        known = {execution.id for execution in executions}
        for key, ids in self._workload.accepted.items():
            self.counts.add("lost", f"call {key} was acknowledged and is not there", len(ids - known))
            self.counts.add("doubled", f"call {key} has several executions", len(ids) - 1)
        self._count_calls(executions)
        for stray in set(self._copies) - {one.bytes for one in known}:
            self.counts.add("unbalanced", f"messages of no execution {UUID(bytes=stray)}", len(self._copies[stray]))
        for execution in executions:
            self._judge(execution)
        for broken in self.pulls.refused():
            self.counts.add(*broken)
        self._judge_repeats()
        self._judge_departures()
        for schedule_id, due_at, started in self._rows(_OCCURRENCES):
            what = f"the occurrence of {schedule_id} at {due_at}"
            self.counts.add("lost", f"{what} was never decided", int(started == 0))
            self.counts.add("doubled", f"{what} was started {started} times", max(0, started - 1))
        for execution_id, channel, said, found in self._rows(_UNBALANCED):
            self.counts.add("unbalanced", f"execution {execution_id} channel {channel}: counted {said}, rows {found}")
        return len(executions)

    def _count_calls(self, executions: Iterable[_Execution]) -> None:
        """Of a key that was called again and again only one answer may ever have been heard: two executions have one key then."""
        made = Counter(execution.topic for execution in executions if execution.is_called)
        called = Counter(self._workload.called.values())
        for topic, times in (made - called).items():
            self.counts.add("doubled", f"{topic} has {made[topic]} executions of {called[topic]} calls", times)

    def _weigh(self, taken: Taken, topic: str | None) -> None:
        """One message: that it went to the right address, not in its recipient's night, and not after they had left."""
        send = taken.send
        self._copies[send.execution][send.customer, send.channel] += 1
        at_s = self._workload.at_s(taken.at_ns)
        self._caps.take(UUID(bytes=send.customer), topic or "", at_s)
        name, email = self._people.get(UUID(bytes=send.customer), ("", ""))
        for violation in self._quiet.violations(topic or "", name, at_s):
            self.counts.add("quiet_violations", violation)
        if email != taken.recipient:
            self.counts.add("lost", f"a message for {name!r} went to somebody else")
        left = self._workload.departures.get((name, topic or ""))
        if left and left.acknowledged_ns and taken.at_ns > left.acknowledged_ns + self._opt_out_s_max * 1e9:
            late_s = (taken.at_ns - left.acknowledged_ns) / 1e9
            self.counts.add("opted_out_contacted", f"{name} of {topic}, {late_s:.1f} s after the acknowledgement")

    def _judge(self, execution: _Execution) -> None:
        sends = [_Send(*row) for row in self._rows(_SENDS, execution.id)]
        if execution.state != "ended" and all(send.state != _HELD for send in sends):
            self.counts.add("lost", f"execution {execution.id} is {execution.state} at the end")
        self.counts.recipients += len(sends)
        copies = self._copies[execution.id.bytes]
        pulled = self.pulls.of(execution.id, execution.topic)
        seen: dict[str, Stand] = {}
        for send in sends:
            name, _ = self._people[send.customer]
            seen[name] = Stand(send.state, send.reason)
            got = copies.pop((send.customer.bytes, send.channel), 0)
            if pulled and send.state == _HANDED_OVER:
                got += self.pulls.has(pulled, name)
            self._judge_send(execution, send, name, got)
            more = got - (send.state in {_HANDED_OVER, _UNKNOWN})
            if more > 0:
                self._judge_copies(execution, send, name, more)
        for customer, _ in copies:
            self.counts.add(
                "unbalanced", f"a message of {execution.id} to {UUID(bytes=customer)}, who has no send in it"
            )
        for broken in self.pulls.broken(pulled, seen) if pulled else ():
            self.counts.add(*broken)
        expected = {name for name in self._workload.audiences[execution.topic] if not self._had_left(name, execution)}
        self.counts.add(
            "lost",
            f"people of {execution.id} without a send: {sorted(expected - seen.keys())[:3]}",
            len(expected - seen.keys()),
        )
        if execution.audience_size != len(seen):
            self.counts.add(
                "unbalanced", f"execution {execution.id} says it has {execution.audience_size} of {len(seen)}"
            )

    def _judge_send(self, execution: _Execution, send: _Send, name: str, got: int) -> None:
        add, who = self.counts.add, f"{name} in {execution.id}"
        if send.state == _UNKNOWN:
            add("unknown", who)
        elif send.state == _HANDED_OVER:
            add("lost", f"{who} was handed over and got nothing", int(got == 0))
        if send.state == _PENDING:
            add("lost", f"{who} is still pending")
        elif send.state == _HELD and not self._may_hold(execution, send, name):
            add("wrongly_withheld", f"{who} is still held, for reason {send.reason}")
        elif send.state == _FAILED and (send.reason != _IN_DOUBT or got):
            add("lost", f"{who} failed for reason {send.reason}, and no provider refused anybody for good")
        elif send.state == _SKIPPED and not self._may_skip(execution, send, name):
            add("wrongly_withheld", f"{who} for reason {send.reason}")

    def _may_hold(self, execution: _Execution, send: _Send, name: str) -> bool:
        return send.reason == _QUIET_HOURS and self._quiet.explains_hold(execution.topic, name, self._judged_at_s)

    def _may_skip(self, execution: _Execution, send: _Send, name: str) -> bool:
        if send.reason == _FREQUENCY_CAP:
            return self._caps.explains(Withheld(execution.id, send.customer, execution.topic, send.decided_at_s))
        if send.reason == _QUIET_HOURS_CANCELLED:
            return self._quiet.explains_skip(execution.topic, name, send.decided_at_s)
        return (
            send.reason in {_UNSUBSCRIBED, _SUPPRESSED, _REVOKED}
            and (name, execution.topic) in self._workload.departures
        )

    def _judge_copies(self, execution: _Execution, send: _Send, name: str, more: int) -> None:
        """More copies than its state speaks of: an `at_least_once` sender tries once more for each time of doubt.

        So does one that asks: in these workloads the answer is to send again.
        """
        ((in_doubt,),) = self._rows(_IN_DOUBT_ANSWERS, execution.id, send.customer, send.channel)
        explained = min(more, in_doubt)
        is_sent = send.state in {_HANDED_OVER, _UNKNOWN}
        resent = explained if is_sent else max(0, explained - 1)
        self.counts.add("resent", name, resent)
        self._repeats["webhooks" if send.channel == _WEBHOOK else "mails"] += resent
        line = "doubled" if is_sent else "unbalanced"
        self.counts.add(line, f"{name} in {execution.id}, state {send.state}: {more} copies too many", more - explained)

    def _judge_repeats(self) -> None:
        """Doubt explains no more copies than what was done to the engine explains doubts, or it could resend whatever it liked."""
        allowed = {
            "mails": max(0, self._workload.unknown_allowed - self.counts.unknown),
            "webhooks": self._workload.repeats_allowed,
        }
        for what, repeats in self._repeats.items():
            beyond = max(0, repeats - allowed[what])
            self.counts.resent -= beyond
            self.counts.add("doubled", f"{repeats} {what} came again; the faults explain {allowed[what]}", beyond)

    def _had_left(self, name: str, execution: _Execution) -> bool:
        left = self._workload.departures.get((name, execution.topic))
        return left is not None and left.asked_at_s < (execution.published_at_s or 0) + _CLOCKS_DIFFER_S

    def _judge_departures(self) -> None:
        still_there = {(name, topic) for name, topic in self._rows(_SUBSCRIBED)}
        for place, departure in self._workload.departures.items():
            if departure.acknowledged_ns is not None and place in still_there:
                self.counts.add("lost", f"the opt-out of {place} was acknowledged and is not there")

    def _rows(self, query: LiteralString, *values: object) -> Iterator[_Row]:
        with self._conn.cursor() as cursor:
            yield from cursor.execute(query, values)


_PEOPLE: LiteralString = """
    SELECT customer_id, CASE WHEN anonymous THEN split_part(email, '@', 1) ELSE external_id END, email FROM customer"""
_PRESENT: LiteralString = "SELECT extract(epoch FROM statement_timestamp())::float"
_TOPICS: LiteralString = """
    SELECT e.id, coalesce(nullif(e.topic_key, ''), nullif(e.generator_id, ''), c.name)
    FROM execution e LEFT JOIN campaign c ON c.id = e.campaign_id"""
_EXECUTIONS: LiteralString = """
    SELECT e.id, coalesce(nullif(e.topic_key, ''), nullif(e.generator_id, ''), c.name), e.state,
        extract(epoch FROM e.published_at)::float, e.audience_size, e.schedule_id IS NULL
    FROM execution e LEFT JOIN campaign c ON c.id = e.campaign_id
    ORDER BY e.id"""
_SENDS: LiteralString = """
    SELECT customer_id, channel, state, reason, extract(epoch FROM decided_at)::float
    FROM send WHERE execution_id = %s"""
_SANDBOX: LiteralString = "SELECT execution_id, customer_id, channel FROM sandbox_message"
_IN_DOUBT_ANSWERS: LiteralString = """
    SELECT count(*) FROM delivery_event e JOIN sender s ON s.id = e.sender_id
    WHERE e.execution_id = %s AND e.customer_id = %s AND e.channel = %s AND e.kind = 'in_doubt'
        AND coalesce(s.in_doubt, CASE s.channel WHEN 8 THEN 'at_least_once' END) IN ('at_least_once', 'ask')"""
_SUBSCRIBED: LiteralString = """
    SELECT c.external_id, t.key FROM subscription s
    JOIN topic t ON t.id = s.topic_id JOIN customer c ON c.part = s.part AND c.customer_id = s.customer_id
    WHERE s.channels <> 0"""
_OCCURRENCES: LiteralString = """
    SELECT id, next_at, 0 FROM schedule WHERE cron IS NULL AND next_at IS NOT NULL
    UNION ALL
    SELECT schedule_id, occurrence_at, count(*)::integer FROM execution WHERE schedule_id IS NOT NULL GROUP BY 1, 2"""
_UNBALANCED: LiteralString = """
    WITH counted AS (
        SELECT execution_id, channel, state, reason, sum(sends) AS sends FROM tally WHERE state >= 0
        GROUP BY execution_id, channel, state, reason HAVING sum(sends) <> 0
    ), found AS (
        SELECT execution_id, channel, state, reason, count(*) AS sends FROM send
        GROUP BY execution_id, channel, state, reason
    ), audience AS (
        SELECT execution_id, channel, sum(sends) AS sends FROM tally WHERE state = -1 GROUP BY execution_id, channel
    )
    SELECT execution_id, channel, c.sends, f.sends
    FROM counted c FULL JOIN found f USING (execution_id, channel, state, reason)
    WHERE c.sends IS DISTINCT FROM f.sends
    UNION ALL
    SELECT execution_id, channel, a.sends, f.sends
    FROM audience a FULL JOIN (SELECT execution_id, channel, sum(sends) AS sends FROM found GROUP BY 1, 2) f
        USING (execution_id, channel)
    WHERE a.sends IS DISTINCT FROM f.sends"""
