"""A/B tests of executions: how the arms did, and a winner that is chosen by hand."""

from typing import Annotated
from uuid import UUID

import msgspec
from msgspec import Meta

from stentor.api.auth import allowed
from stentor.api.exports import executions
from stentor.api.request import ApiRequest, Caller
from stentor.campaigns.experiments import ARM_NAME_CHARS_MAX
from stentor.errors import Conflict, Invalid
from stentor.executions.experiments import ExperimentReport


class WinnerInput(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which arm the rest gets."""

    arm: Annotated[str, Meta(min_length=1, max_length=ARM_NAME_CHARS_MAX, description="Its name.")]


@executions.get("/executions/{execution_id:str}/experiment", scope="read")
async def get_experiment(request: ApiRequest, caller: Caller, execution_id: UUID) -> ExperimentReport:
    """Show how the arms of an execution's experiment did: people, and rates with their 95 % intervals (Wilson)."""
    return await request.services.experiments.report(caller.brand_id, execution_id)


@executions.post(
    "/executions/{execution_id:str}/experiment/winner",
    scope="write",
    problems=[Conflict, Invalid],
    example={"arm": "Short"},
)
async def choose_winner(request: ApiRequest, caller: Caller, execution_id: UUID, body: WinnerInput) -> ExperimentReport:
    """Choose the winner by hand: who waited gets that arm, by an execution of their own that starts at once.

    The key needs the scope `run` too.
    """
    allowed(caller, "run")
    principal = caller.principal
    return await request.services.experiments.choose(
        caller.brand_id, execution_id, body.arm, chosen_by=f"key {principal.key_number}", is_test=principal.is_test
    )


@executions.post("/executions/{execution_id:str}/experiment/cancel", scope="write", problems=[Conflict])
async def cancel_experiment(request: ApiRequest, caller: Caller, execution_id: UUID) -> ExperimentReport:
    """End an experiment without a winner: who waited for it gets nothing. What was sent is sent."""
    principal = caller.principal
    return await request.services.experiments.cancel(
        caller.brand_id, execution_id, cancelled_by=f"key {principal.key_number}", is_test=principal.is_test
    )
