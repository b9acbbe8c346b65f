"""The flow against its model, many more stories than CI has time for, and others each time."""

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from flow_machine import FlowMachine

pytestmark = [pytest.mark.prove, pytest.mark.timeout(3_600)]


@pytest.mark.fault("F1", "F4", "F19", "F20")
def test_the_promises_hold_after_each_step_of_a_thousand_stories(flow_machine: type[FlowMachine]):
    many = settings(max_examples=1_000, stateful_step_count=50, deadline=None, suppress_health_check=list(HealthCheck))

    run_state_machine_as_test(flow_machine, settings=many)
