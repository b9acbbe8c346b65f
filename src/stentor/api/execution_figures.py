"""Figures of an execution beside its counts: its pace, what limits it now, what providers said, how its variants fared."""

from uuid import UUID

from stentor.api.experiments import executions
from stentor.api.request import ApiRequest, Caller
from stentor.errors import Unavailable
from stentor.executions.figures import Rates, Variants
from stentor.executions.limits_now import Limit
from stentor.report.troubles import Troubles


@executions.get("/executions/{execution_id:str}/rates", scope="read")
async def get_rates(request: ApiRequest, caller: Caller, execution_id: UUID) -> Rates:
    """Show how fast an execution went: messages tried by time, in at most 120 steps, and the quiet hours in that time.

    It counts what was tried, each try anew, as it was answered; what an outside service sends counts when it was fetched.
    """
    return await request.services.figures.rates(caller.brand_id, execution_id)


@executions.get("/executions/{execution_id:str}/limits", scope="read")
async def list_limits(request: ApiRequest, caller: Caller, execution_id: UUID) -> list[Limit]:
    """Show what limits an execution at this moment: what stops its people or some of them, then paces that it may not pass.

    Empty where nothing does: then workers are as fast as the providers. Empty too once it is over.
    """
    return await request.services.figures.limits(caller.brand_id, execution_id)


@executions.get("/executions/{execution_id:str}/troubles", scope="read")
async def list_troubles(request: ApiRequest, caller: Caller, execution_id: UUID) -> Troubles:
    """Show what providers said about sends that failed or are in doubt, alike answers together, each with what to do about it.

    It looks at 500 answers of each channel and kind at most. Where there are more, `is_all` is false and `sends` are of a sample;
    the numbers of all are among the execution's counts, by reason.
    """
    return await request.services.figures.troubles(caller.brand_id, execution_id)


@executions.get("/executions/{execution_id:str}/variants", scope="read", problems=[Unavailable])
async def list_variants(request: ApiRequest, caller: Caller, execution_id: UUID) -> Variants:
    """Count where the people of each variant are: each language of each route, with the arm that it is for.

    Counted from rows, which of a million people takes a second or two, and kept for fifty times as long as that took.
    """
    return await request.services.figures.variants(caller.brand_id, execution_id)
