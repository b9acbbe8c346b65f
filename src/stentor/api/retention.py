"""How long a group's things are kept."""

from typing import Annotated

import msgspec
from msgspec import Meta

from stentor.accounts.model import (
    AUDIT_DAYS_MAX,
    AUDIT_DAYS_MIN,
    HISTORY_DAYS_MIN,
    KEPT_DAYS_MAX,
    SANDBOX_DAYS_MAX,
    Brand,
)
from stentor.api.auth import live
from stentor.api.groups import group_noun
from stentor.api.request import ApiRequest, Caller
from stentor.errors import Forbidden

retention = group_noun(
    "retention",
    "How long the group keeps what it need not keep. Opt-outs, consents and counters stay, and so does what is pending or in doubt; what the "
    "installation keeps at most holds for all its groups.",
)

Days = Annotated[int, Meta(ge=1, le=KEPT_DAYS_MAX)] | None


class Retention(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Days; null: as long as the installation keeps history, and of the audit log as long as it keeps that."""

    history_days: Annotated[
        Annotated[int, Meta(ge=HISTORY_DAYS_MIN, le=KEPT_DAYS_MAX)] | None,
        Meta(
            description="Executions with their sends, counted from when they start; daily totals stay. Links to unsubscribe live as long."
        ),
    ] = None
    payload_days: Annotated[
        Days,
        Meta(
            description="What calls said (contexts) and what providers answered, counted from when an execution starts."
        ),
    ] = None
    event_days: Annotated[Days, Meta(description="Events of customers.")] = None
    batch_days: Annotated[Days, Meta(description="Who was in a batch. People themselves stay.")] = None
    audit_days: Annotated[
        Annotated[int, Meta(ge=AUDIT_DAYS_MIN, le=AUDIT_DAYS_MAX)] | None,
        Meta(description="The group's audit log. A key of the organisation alone changes it."),
    ] = None
    sandbox_days: Annotated[int, Meta(ge=1, le=SANDBOX_DAYS_MAX, description="Messages in the sandbox's inbox.")] = 7


@retention.get("/retention", scope="read")
async def get_retention(request: ApiRequest, caller: Caller) -> Retention:
    """Show how long the group's things are kept."""
    return _shown(await request.services.accounts.brand(caller.brand_id))


@retention.put("/retention", scope="admin", example={"payload_days": 30, "event_days": 90, "sandbox_days": 7})
async def replace_retention(request: ApiRequest, caller: Caller, body: Retention) -> Retention:
    """Replace how long the group's things are kept.

    What is older goes step by step, from the next minute on, and does not come back when the days are raised again.
    Whoever has a key of the group leaves traces in its audit log, so that key sends its days as they are.
    A test key changes nothing of it.
    """
    live(caller, "What is older than these days is deleted for real")
    accounts, changes = request.services.accounts, msgspec.structs.asdict(body)
    if caller.principal.brand_id is not None:
        present = (await accounts.brand(caller.brand_id)).settings.audit_days
        if changes.pop("audit_days") != present:
            raise Forbidden(
                f"A key of the group does not change how long its audit log is kept: send `audit_days` as it is, "
                f"{'null' if present is None else present}, or use a key of the organisation, or `stentor brand set`."
            )
    return _shown(await accounts.update_brand_settings(caller.brand_id, changes))


def _shown(brand: Brand) -> Retention:
    return Retention(**{name: getattr(brand.settings, name) for name in Retention.__struct_fields__})
