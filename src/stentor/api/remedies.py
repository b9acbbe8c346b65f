"""What can be ordered for an execution's sends that failed or are in doubt, and the books of its ends."""

from typing import Annotated, Literal
from uuid import UUID

import msgspec
from msgspec import Meta

from stentor.api.auth import allowed
from stentor.api.channels import ChannelName
from stentor.api.executions import ExecutionDetail, detailed
from stentor.api.paging import Listing, ListQuery, Walk, listing
from stentor.api.request import ApiRequest, Caller
from stentor.api.watching import executions
from stentor.domain.vocabulary import ChannelKind
from stentor.errors import Conflict
from stentor.executions.remedies import TREATMENTS, Action
from stentor.report.reconciliations import Reconciliation

OnlyChannel = Annotated[ChannelName | None, Meta(description="Only sends on this channel.")]


class RetryQuery(msgspec.Struct, frozen=True):
    """Which failed sends are tried again."""

    channel: OnlyChannel = None


class UnknownInput(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What becomes of the sends that are in doubt."""

    action: Annotated[
        Literal["resend", "settle_as_handed_over", "settle_as_failed"],
        Meta(
            description="`resend` sends them again, under the same send ids: somebody may get a message twice. The others "
            "send nothing and believe that all of them were accepted, or none."
        ),
    ]
    channel: OnlyChannel = None


@executions.post("/executions/{execution_id:str}/retry-failed", scope="run", status=202, problems=[Conflict])
async def retry_failed_sends(
    request: ApiRequest, caller: Caller, execution_id: UUID, query: RetryQuery
) -> ExecutionDetail:
    """Try failed sends again: those that a provider refused, and those whose tries are used up.

    They are pending again within a second, are guarded like any others, and have eight more tries; an execution that had
    ended is sending again, and ends anew. Asked a second time it changes nothing until it is done.
    """
    return await _order(request, caller, execution_id, "retry_failed", query.channel)


@executions.post(
    "/executions/{execution_id:str}/unknown",
    scope="write",
    status=202,
    problems=[Conflict],
    example={"action": "resend", "channel": "email"},
)
async def resolve_unknown_sends(
    request: ApiRequest, caller: Caller, execution_id: UUID, body: UnknownInput
) -> ExecutionDetail:
    """Decide about the sends that are in doubt: `unknown`, perhaps accepted and perhaps not.

    What sends again needs a key with the scope `run` too, as whatever starts sends does.
    It concerns those that are unknown at this moment. What counts against a frequency cap goes on counting, and is given back
    by `settle_as_failed`. Whoever may not be written to any more when a resend comes to them stays unknown, with the reason.
    """
    if TREATMENTS[body.action].sends_again:
        allowed(caller, "run")
    return await _order(request, caller, execution_id, body.action, body.channel)


@executions.get("/executions/{execution_id:str}/reconciliations", scope="read")
async def list_reconciliations(
    request: ApiRequest, caller: Caller, execution_id: UUID, query: ListQuery
) -> Listing[Reconciliation]:
    """List the books of an execution's ends, newest first: each counted from rows when nothing was open any more.

    `balanced` says that the counters, which the numbers of a running execution are taken from, had the same.
    """

    async def fetch(before: int | None, limit: int) -> list[Reconciliation]:
        return await request.services.executions.reconciliations(
            caller.brand_id, execution_id, before=before, limit=limit
        )

    return await listing(request, query, Walk(fetch, lambda one: one.number, int), lambda one: one)


async def _order(
    request: ApiRequest, caller: Caller, execution_id: UUID, action: Action, channel: ChannelName | None
) -> ExecutionDetail:
    kind = None if channel is None else ChannelKind.named(channel)
    principal = caller.principal
    return detailed(
        await request.services.executions.remedy(
            caller.brand_id,
            execution_id,
            action,
            kind,
            asked_by=f"key {principal.key_number}",
            is_test=principal.is_test,
        )
    )
