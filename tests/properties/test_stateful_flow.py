"""The flow under whatever steps Hypothesis draws; `make prove` draws many more of them."""

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from flow_machine import FlowMachine

# Some seconds, and minutes to find the shortest story when one goes wrong.
pytestmark = pytest.mark.timeout(600)


@pytest.mark.fault("F1", "F4", "F19", "F20")
def test_the_promises_hold_after_each_step_of_any_story(flow_machine: type[FlowMachine]):
    few = settings(
        max_examples=40,
        stateful_step_count=30,
        deadline=None,
        derandomize=True,
        # What is slow is a database at work, and it has nothing to do with what is drawn.
        suppress_health_check=list(HealthCheck),
    )

    run_state_machine_as_test(flow_machine, settings=few)
