"""The flow under whatever steps Hypothesis draws, against a model in plain dicts; `make prove` draws many more."""

import asyncio
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from flow_machine import FlowMachine
from flow_model import Stage
from stentor.db.pool import Database


@pytest.fixture
def machine(database_dsn: str) -> Iterator[type[FlowMachine]]:
    with asyncio.Runner() as runner:
        db = Database(database_dsn, size=3)
        runner.run(db.open())
        try:
            yield type("Machine", (FlowMachine,), {"stage": runner.run(Stage.made(db)), "runner": runner})
        finally:
            runner.run(db.aclose())


def test_the_promises_hold_after_each_step_of_any_story(machine: type[FlowMachine]):
    few = settings(
        max_examples=25,
        stateful_step_count=30,
        deadline=None,
        derandomize=True,
        suppress_health_check=list(HealthCheck),
    )

    run_state_machine_as_test(machine, settings=few)
