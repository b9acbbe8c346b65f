"""Whatever is done in whatever order, and wherever the process dies of it: the promises hold after each step.

Hypothesis draws the steps; the engine's own services take them on a real database, and `flow_model` keeps the books of an
onlooker beside it. A step that crashes is followed by a new process, as a supervisor would start one.
"""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, multiple, rule

from flow_model import CAP, GENERATORS, OUTCOMES, PEOPLE, WINDOW, SendKey, Stage, file_of
from stentor.answers.model import Answer, Idempotency
from stentor.audience.model import Act, Source
from stentor.domain.address import email_digest
from stentor.domain.ids import customer_id, new_id, part_of
from stentor.domain.vocabulary import ChannelKind, Reason, SendState
from stentor.errors import Conflict, Unprocessable
from stentor.executions.ending import end_forgotten
from stentor.executions.provider_events import apply_due
from stentor.executions.remedies import TREATMENTS, Action, carry_out_next
from stentor.executions.service import sweep_expired
from stentor.triggers.model import Accepted, Replayed, RunCall
from trigger_world import taking_calls

NAMES = st.sampled_from(PEOPLE)
SOME = st.sets(NAMES, min_size=1)
PAUSES = st.sampled_from([timedelta(seconds=1), timedelta(seconds=30), timedelta(minutes=11), timedelta(hours=3)])
PLANNING = ("resolve.before_commit", "resolve.after_commit", "end.before_commit", "end.after_commit")
DELIVERING = (
    *("claim.before_commit", "claim.after_commit", "wave.before_commit", "wave.after_commit", "hand_over.before"),
    *(
        "hand_over.after",
        "settle.before_commit",
        "settle.after_commit",
        "recover.before_commit",
        "recover.after_commit",
    ),
    *("end.before_commit", "end.after_commit"),
)
REMEDYING = ("remedy.before_commit", "remedy.after_commit", "end.before_commit")
TRIGGERING = ("trigger.before_commit", "trigger.after_commit")

_DRAINED_AFTER = 16
_STEP = timedelta(hours=4)
# The far side notes a message a moment before its acceptance is stamped.
_SLACK = timedelta(seconds=5)


class Send(NamedTuple):
    """A row as the database has it."""

    state: SendState
    reason: Reason
    decided_at: datetime


class FlowMachine(RuleBasedStateMachine):
    """The steps and the promises. A subclass says which stage, and on whose event loop."""

    stage: Stage
    runner: asyncio.Runner

    executions = Bundle("executions")

    def do(self, work: Coroutine[Any, Any, Any]) -> Any:
        """Takes a step to its end."""
        return self.runner.run(work)

    def dying(self, work: Callable[[], Awaitable[Any]], point: str, hit: int) -> None:
        """Takes a step, of which the process dies at the place if it comes there so often."""
        self.do(self.stage.crashing(work, point, hit))

    @initialize(names=SOME)
    def begin(self, names: set[str]) -> None:
        self.do(self.stage.cleared())
        self.subscribe(names)

    # What people choose.

    @rule(names=SOME)
    def subscribe(self, names: set[str]) -> None:
        for name in sorted(names):
            subscribing = self.stage.subscriptions.subscribe(
                self.stage.world.brand_id, name, "news", ChannelKind.EMAIL.bit, Act(source=Source.API)
            )
            self.do(subscribing)
        self.stage.subscribed |= names
        self.stage.withdrawn -= names

    @rule(names=SOME)
    def import_subscriptions(self, names: set[str]) -> None:
        async def work() -> None:
            brand_id, imports = self.stage.world.brand_id, self.stage.imports
            text = "".join(f"{name},news,email\n" for name in sorted(names))
            job = await imports.begin(brand_id, "subscriptions", "csv", str(new_id()))
            await imports.run(brand_id, job.id, file_of(f"external_id,topic,channels\n{text}"))

        self.do(work())
        self.stage.subscribed |= names - self.stage.withdrawn

    @rule(name=NAMES)
    def withdraw(self, name: str) -> None:
        world, act = self.stage.world, Act(source=Source.ONE_CLICK)
        self.do(
            self.stage.subscriptions.withdraw(world.brand_id, customer_id(world.brand_id, name), world.topic_id, act)
        )
        if name in self.stage.subscribed:
            self.stage.subscribed.remove(name)
            self.stage.withdrawn.add(name)

    @rule(name=NAMES)
    def opt_out_of_everything(self, name: str) -> None:
        brand_id, act = self.stage.world.brand_id, Act(source=Source.ONE_CLICK)
        self.do(self.stage.subscriptions.withdraw_all(brand_id, customer_id(brand_id, name), act))
        self.stage.refused.add(name)

    @rule(name=NAMES)
    def agree_again(self, name: str) -> None:
        brand_id, act = self.stage.world.brand_id, Act(source=Source.PREFERENCE_PAGE)
        channels = ChannelKind.EMAIL.bit
        self.do(self.stage.subscriptions.agree(brand_id, customer_id(brand_id, name), channels, act))
        self.stage.refused.discard(name)

    # What callers ask for.

    @rule(target=executions, generator=st.sampled_from(sorted(GENERATORS)), key=st.sampled_from(["", "k1", "k2"]))
    def trigger(self, generator: str, key: str) -> Any:
        return self.noted(self.do(self._trigger(generator, key)))

    @rule(
        target=executions,
        generator=st.sampled_from(sorted(GENERATORS)),
        key=st.sampled_from(["k1", "k2", "k3"]),
        point=st.sampled_from(TRIGGERING),
    )
    def trigger_and_repeat_what_is_not_answered(self, generator: str, key: str, point: str) -> Any:
        async def dies() -> None:
            with suppress(BaseExceptionGroup):
                await self._trigger(generator, key)

        self.dying(dies, point, 1)
        return self.noted(self.do(self._trigger(generator, key)))

    def noted(self, execution_id: UUID | None) -> Any:
        """The execution, if the call brought one that was not known."""
        if execution_id is None or execution_id in self.stage.executions:
            return multiple()
        self.stage.executions.append(execution_id)
        return execution_id

    async def _trigger(self, generator: str, key: str) -> UUID | None:
        body = generator.encode().ljust(32)
        once = Idempotency(key, body, lambda made, _known: Answer(202, {}, made.bytes)) if key else None
        call = RunCall(
            brand_id=self.stage.world.brand_id,
            generator_id=generator,
            topic_key="news",
            context={},
            triggered_by="key 1",
            idempotency=once,
        )
        async with taking_calls(self.stage.life) as service:
            try:
                outcome = await service.run(call)
            except Unprocessable:
                # Refused as it must be: the key was used for the other generator.
                assert key in self.stage.under_key
                return None
        if isinstance(outcome, Replayed):
            answered = UUID(bytes=outcome.answer.body)
            assert self.stage.under_key.setdefault(key, answered) == answered
            return answered
        assert isinstance(outcome, Accepted)
        assert key not in self.stage.under_key
        if key:
            self.stage.under_key[key] = outcome.execution_id
        return outcome.execution_id

    @rule(execution=executions, order=st.sampled_from(["pause", "resume", "resume", "cancel"]))
    def change(self, execution: UUID, order: str) -> None:
        async def work() -> None:
            # Not every order fits every state, and says so.
            with suppress(Conflict):
                await getattr(self.stage.engine.executions, order)(self.stage.world.brand_id, execution)

        self.do(work())

    @rule(execution=executions, action=st.sampled_from(sorted(TREATMENTS)))
    def remedy(self, execution: UUID, action: Action) -> None:
        treated = [
            key
            for key, send in self.do(self._sends()).items()
            if key[0] == execution and send.state is TREATMENTS[action].state_from
        ]

        async def work() -> None:
            service, brand_id = self.stage.engine.executions, self.stage.world.brand_id
            with suppress(Conflict):
                await service.remedy(brand_id, execution, action, asked_by="key 1")

        self.do(work())
        if action == "resend":
            self.stage.resends.update(treated)
        elif action != "retry_failed":
            self.stage.settled_by_word.update(treated)

    # What processes do, to their end or not.

    @rule()
    def plan(self) -> None:
        self.do(self.stage.engine.plan())

    @rule(point=st.sampled_from(PLANNING), hit=st.integers(1, 2))
    def plan_and_die(self, point: str, hit: int) -> None:
        self.dying(self.stage.engine.plan, point, hit)

    @rule()
    def deliver(self) -> None:
        self.do(self.stage.engine.deliver())

    @rule(point=st.sampled_from(DELIVERING), hit=st.integers(1, 3))
    def deliver_and_die(self, point: str, hit: int) -> None:
        self.dying(self.stage.engine.drain, point, hit)

    @rule()
    def carry_out_remedies(self) -> None:
        self.do(self._carry_out())

    @rule(point=st.sampled_from(REMEDYING))
    def carry_out_remedies_and_die(self, point: str) -> None:
        self.dying(self._carry_out, point, 1)

    @rule()
    def keep(self) -> None:
        self.do(self._keep())

    async def _carry_out(self) -> None:
        while await carry_out_next(self.stage.life):
            continue

    async def _keep(self) -> None:
        await sweep_expired(self.stage.life)
        await end_forgotten(self.stage.life)

    # What happens to them.

    @rule(pause=PAUSES)
    def time_passes(self, pause: timedelta) -> None:
        self.stage.db.shift += pause

    @rule(name=NAMES, outcome=st.sampled_from(sorted(OUTCOMES)))
    def the_provider_changes_its_mind(self, name: str, outcome: str) -> None:
        self.stage.far_side.answers[name] = OUTCOMES[outcome]

    @rule(name=NAMES, kind=st.sampled_from(["bounced", "complained", "delivered"]), repeated=st.booleans())
    def the_provider_reports(self, name: str, kind: str, repeated: bool) -> None:
        taken = [execution for (execution, who), times in self.stage.far_side.taken.items() if who == name and times]
        if taken:
            for event in ["1", "1" if repeated else "2"]:
                self.do(self._report(taken[-1], name, kind, event))
            self.do(apply_due(self.stage.life))
            if kind != "delivered":
                self.stage.dead.add(name)

    async def _report(self, execution_id: UUID, name: str, kind: str, event: str) -> None:
        brand_id, customer = self.stage.world.brand_id, customer_id(self.stage.world.brand_id, name)
        async with self.stage.db.autocommit() as conn:
            await conn.execute(
                "INSERT INTO provider_event (shard, provider, event_id, brand_id, execution_id, customer_id, part, channel,"
                " digest, kind, at, due_at) VALUES (0, 'provider', %s, %s, %s, %s, %s, 1, %s, %s, %s, %s)"
                " ON CONFLICT DO NOTHING",
                [
                    f"{kind} {name} {event}",
                    *(brand_id, execution_id, customer, part_of(customer), email_digest(f"{name}@example.com"), kind),
                    *[self.stage.now] * 2,
                ],
            )

    # What holds after each step.

    async def _sends(self) -> dict[SendKey, Send]:
        rows = await self.stage.rows("SELECT execution_id, customer_id, state, reason, decided_at FROM send")
        found = {
            (execution, self.stage.names[customer]): Send(SendState(state), Reason(reason), at)
            for execution, customer, state, reason, at in rows
        }
        assert len(found) == len(rows)
        return found

    @invariant()
    def every_number_adds_up(self) -> None:
        differing = self.stage.rows(
            "SELECT execution_id, channel, state, c.sends, r.sends"
            " FROM (SELECT execution_id, channel, state, reason, sum(sends) AS sends FROM tally WHERE state >= 0"
            " GROUP BY 1, 2, 3, 4 HAVING sum(sends) <> 0) c"
            " FULL JOIN (SELECT execution_id, channel, state, reason, count(*) AS sends FROM send GROUP BY 1, 2, 3, 4) r"
            " USING (execution_id, channel, state, reason) WHERE c.sends IS DISTINCT FROM r.sends"
        )
        assert self.do(differing) == []
        unequal = (
            "SELECT execution_id FROM tally GROUP BY 1 HAVING sum(CASE state WHEN -1 THEN -sends ELSE sends END) <> 0"
        )
        assert self.do(self.stage.rows(unequal)) == []

    @invariant()
    def nobody_is_lost_and_nobody_is_decided_twice(self) -> None:
        known = self.do(self.stage.rows("SELECT id, published_at IS NOT NULL FROM execution"))
        assert {execution for execution, _ in known} == set(self.stage.executions)
        decided: defaultdict[UUID, set[str]] = defaultdict(set)
        for execution, name in self.do(self._sends()):
            decided[execution].add(name)
        for execution, is_published in known:
            if is_published:
                # Whoever was opted in at the step that planned it: nobody chose anything since.
                assert decided[execution] == self.stage.audiences.setdefault(execution, set(self.stage.subscribed))
            else:
                assert not decided[execution]

    @invariant()
    def what_is_told_of_a_send_is_what_happened(self) -> None:
        far_side = self.stage.far_side
        for key, send in self.do(self._sends()).items():
            copies, doubts = len(far_side.taken[key]), self.stage.doubts[key]
            assert copies <= 1 + self.stage.resends[key], f"{key} got {copies} copies"
            if key in self.stage.settled_by_word:
                continue
            if send.state is SendState.HANDED_OVER:
                assert copies, f"{key} got nothing"
            elif send.state is SendState.UNKNOWN or copies:
                assert doubts, f"{key} is {send}"
            if send.state in {SendState.SKIPPED, SendState.FAILED}:
                assert not copies, f"{key} is {send}"

    @invariant()
    def no_means_no(self) -> None:
        assert self.stage.far_side.contacted_against_their_will == []

    @invariant()
    def nobody_gets_more_than_the_cap_allows(self) -> None:
        by_person: defaultdict[str, list[tuple[datetime, UUID]]] = defaultdict(list)
        for (execution, name), times in self.stage.far_side.taken.items():
            # Of what somebody called settled their word counts, not what happened.
            if (execution, name) not in self.stage.settled_by_word:
                by_person[name] += [(at, execution) for at in times]
        for name, contacts in by_person.items():
            for until, _ in contacts:
                within = {execution for at, execution in contacts if until - WINDOW < at <= until}
                assert len(within) <= CAP, f"{name} got {len(within)} messages within the window to {until}"

    @invariant()
    def nobody_is_withheld_below_the_cap(self) -> None:
        sends = self.do(self._sends())
        for (execution, name), send in sends.items():
            if send.reason is Reason.FREQUENCY_CAP and send.state is SendState.SKIPPED:
                others = [key for key in sends if key[1] == name and key[0] != execution]
                counted = sum(self._may_have_counted(key, sends[key], send.decided_at) for key in others)
                assert counted >= CAP, f"{name} was withheld in {execution} at {counted}"

    def _may_have_counted(self, key: SendKey, send: Send, at: datetime) -> bool:
        """Whether the send was accepted, in doubt, or on the wire within the window that ended then."""
        stamps = [*self.stage.far_side.tried[key]]
        if self.stage.doubts[key]:
            # In doubt from when it was given up, which its row says until a later decision.
            stamps += [send.decided_at, at]
        return any(at - WINDOW - _SLACK < stamp < at + _SLACK for stamp in stamps)

    def teardown(self) -> None:
        """All obstacles go, and everything comes to its end."""
        if hasattr(self.stage, "executions"):
            self.do(self._drain())
            self.every_number_adds_up()
            self.nobody_is_lost_and_nobody_is_decided_twice()
            self.what_is_told_of_a_send_is_what_happened()
            self.no_means_no()
            waiting = {SendState.PENDING, SendState.HELD}
            assert [key for key, send in self.do(self._sends()).items() if send.state in waiting] == []
            assert self.do(self.stage.rows("SELECT id FROM execution WHERE ended_at IS NULL")) == []

    async def _drain(self) -> None:
        self.stage.far_side.answers.clear()
        for execution in self.stage.executions:
            with suppress(Conflict):
                await self.stage.engine.executions.resume(self.stage.world.brand_id, execution)
        for _ in range(_DRAINED_AFTER):
            await self._keep()
            await self._carry_out()
            await self.stage.engine.drain()
            if not await self.stage.rows("SELECT id FROM execution WHERE ended_at IS NULL LIMIT 1"):
                break
            self.stage.db.shift += _STEP
