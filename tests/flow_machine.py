"""Whatever is done in whatever order, and wherever a process dies of it: the promises hold after each step.

Hypothesis draws the steps, and the engine's own services take them on a real database.
"""

import asyncio
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any
from uuid import UUID

from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, multiple, rule

from flow_promises import assert_everything_ended, assert_promises
from flow_stage import GENERATORS, OUTCOMES, PEOPLE, Stage
from stentor.db.pool import Database
from stentor.executions.remedies import TREATMENTS
from stentor.failpoints import arm

NAMES = st.sampled_from(PEOPLE)
SOME = st.sets(NAMES, min_size=1)
CHOICES = st.sampled_from(["subscribe", "import_subscriptions", "withdraw", "refuse", "list_addresses", "agree"])
CALLED = st.sampled_from(sorted(GENERATORS))
ORDERS = st.sampled_from(["pause", "resume", "cancel", *sorted(TREATMENTS)])
WORK = ("plan", "deliver", "deliver", "carry_out", "keep", "pull", "watch", "outlive")
PAUSES = st.sampled_from([timedelta(seconds=1), timedelta(seconds=30), timedelta(minutes=11), timedelta(hours=3)])
TRIGGERING = ("trigger.before_commit", "trigger.after_commit")
DEATHS = [
    f"{place}.{side}_commit"
    for place in ("resolve", "claim", "wave", "wave", "settle", "settle", "recover", "end", "remedy")
    for side in ("before", "after")
]
DEATHS += ["hand_over.before", "hand_over.after"]
DEATHS += [
    f"{place}.{side}_commit"
    for place in ("freeze_begun", "freeze_listed", "freeze_batch", "freeze", "pull_wave", "revoke")
    for side in ("before", "after")
]


class FlowMachine(RuleBasedStateMachine):
    """The steps. A subclass says on which stage, and on whose event loop; each kind of step is as likely as another."""

    stage: Stage
    runner: asyncio.Runner

    executions = Bundle("executions")

    def do(self, step: Coroutine[Any, Any, Any]) -> Any:
        return self.runner.run(step)

    @initialize(target=executions, absent=st.sets(NAMES, max_size=2), calls=st.integers(1, 3), is_planned=st.booleans())
    def begin(self, absent: set[str], calls: int, is_planned: bool) -> Any:
        self.do(self.stage.cleared())
        self.do(self.stage.subscribe(set(PEOPLE) - absent))
        called = [self.do(self.stage.trigger("news", "")) for _ in range(calls)]
        if is_planned:
            self.do(self.stage.plan())
        return multiple(*called)

    @rule(names=SOME, choice=CHOICES)
    def people_choose(self, names: set[str], choice: str) -> None:
        self.do(getattr(self.stage, choice)(names))

    @rule(target=executions, generator=CALLED, key=st.sampled_from(["", "", "k1", "k2"]))
    def a_caller_calls(self, generator: str, key: str) -> Any:
        return _brought(self.do(self.stage.trigger(generator, key)))

    @rule(target=executions, generator=CALLED, key=st.sampled_from(["k1", "k3"]), point=st.sampled_from(TRIGGERING))
    def a_caller_hears_nothing(self, generator: str, key: str, point: str) -> Any:
        return _brought(self.do(self.stage.hear_nothing_and_repeat(generator, key, point)))

    @rule(execution=executions, order=ORDERS)
    def an_operator_orders(self, execution: UUID, order: str) -> None:
        self.do(self.stage.order(execution, order))

    @rule(work=st.sampled_from(WORK))
    def processes_work(self, work: str) -> None:
        self.do(getattr(self.stage, work)())

    @rule()
    def workers_do_all_that_is_due(self) -> None:
        self.do(self.stage.carry_out())
        self.do(self.stage.deliver())

    @rule(work=st.sampled_from(WORK[:-1]), point=st.sampled_from(DEATHS), hit=st.integers(1, 2))
    def a_process_dies_at_work(self, work: str, point: str, hit: int) -> None:
        self.do(self.stage.dying(getattr(self.stage, work), point, hit))

    @rule(pause=PAUSES)
    def time_passes(self, pause: timedelta) -> None:
        self.stage.db.shift += pause

    @rule(names=SOME, outcome=st.sampled_from(sorted(OUTCOMES)))
    def the_provider_changes_its_mind(self, names: set[str], outcome: str) -> None:
        self.stage.far_side.answers |= dict.fromkeys(names, OUTCOMES[outcome])

    @rule(name=NAMES, kind=st.sampled_from(["bounced", "complained", "delivered"]))
    def the_provider_reports(self, name: str, kind: str) -> None:
        self.do(self.stage.report(name, kind))

    @invariant()
    def the_promises_hold(self) -> None:
        self.do(assert_promises(self.stage))

    def teardown(self) -> None:
        self.do(self.stage.let_everything_end())
        self.do(assert_promises(self.stage))
        self.do(assert_everything_ended(self.stage))


@contextmanager
def machine_on(dsn: str) -> Iterator[type[FlowMachine]]:
    """The machine, with a stage in that database, and an event loop that lives as long."""
    with asyncio.Runner() as runner:
        db = Database(dsn, size=4)
        runner.run(db.open())
        try:
            yield type("Machine", (FlowMachine,), {"stage": runner.run(Stage.made(db)), "runner": runner})
        finally:
            arm("")
            runner.run(db.aclose())


def _brought(execution: UUID | None) -> Any:
    return multiple() if execution is None else execution
