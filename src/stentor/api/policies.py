"""A group's own policy: what holds for all its messages."""

from stentor.api.auth import live
from stentor.api.groups import group_noun
from stentor.api.request import ApiRequest, Caller
from stentor.domain.policy import BrandPolicy, policy_violations
from stentor.errors import Invalid

policies = group_noun(
    "policy",
    "What holds for all messages of the group: how many of them one person gets. A campaign may add rules of its own.",
)

_EXAMPLE = {"caps": [{"at_most": 3, "per": "7d", "channels": ["sms"]}, {"at_most": 2, "per": "24h"}]}


@policies.get("/policy", scope="read")
async def get_policy(request: ApiRequest, caller: Caller) -> BrandPolicy:
    """Show the group's policy."""
    brand = await request.services.accounts.brand(caller.brand_id)
    return brand.settings.policy


@policies.put("/policy", scope="admin", example=_EXAMPLE)
async def replace_policy(request: ApiRequest, caller: Caller, body: BrandPolicy) -> BrandPolicy:
    """Replace the group's policy.

    It holds within a second, also for executions under way. A cap counts what has been sent under any cap, so that a rule
    that is changed is exact at once, and a first one counts from now on. It is the policy of what is sent for real, so a test
    key changes nothing of it.
    """
    live(caller, "The policy holds for real messages too")
    if violations := list(policy_violations(body, "")):
        raise Invalid(violations[0].message, violations=violations)
    brand = await request.services.accounts.update_brand_settings(caller.brand_id, {"policy": body})
    return brand.settings.policy
