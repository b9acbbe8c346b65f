"""How often a key may ask under `/v1/groups`, and how answers tell where it stands."""

import math
import time
from collections.abc import Sequence

from litestar.types import HTTPScope

from stentor.accounts.limits import Limit, Standing, least_left, limits_of_key, limits_of_seed_nouns
from stentor.api.edge import RATE_FIELDS
from stentor.api.idempotency import is_replay
from stentor.api.operation import Operation
from stentor.api.request import ApiRequest, Caller
from stentor.errors import RateLimited

# The nouns that clients of the older groups API know; what they are used to is a limit of a minute for each user.
_SEED_NOUNS = frozenset({"batches", "profiles", "profile-tags", "campaigns", "schedules"})
_BATCHES = frozenset({"/batches", "/batches:bulk"})


async def pace(request: ApiRequest, operation: Operation, path: str, caller: Caller) -> None:
    """Counts the call, and leaves with the request what its answer is to tell. Raises RateLimited for one too many.

    What is answered from what was stored under an `Idempotency-Key` costs nothing; another request under that key does.
    """
    limits = _limits(operation, path, caller)
    if not limits or (operation.takes_key and await is_replay(request, caller)):
        return
    tell(request.scope, await request.services.limiter.take(limits))


def tell(scope: HTTPScope, standings: Sequence[Standing]) -> None:
    """Leaves with a request what its answer tells of its limits. Raises RateLimited where one was passed."""
    least = least_left(standings)
    scope["state"][RATE_FIELDS] = rate_fields(standings, least)
    if least.is_over:
        limit = least.limit
        raise RateLimited(
            f"More than {limit.at_most} calls in {_span(limit)}. Wait {least.retry_after_s} s, and ask again.",
            retry_after_s=least.retry_after_s,
            limit=limit.at_most,
        )


def rate_fields(standings: Sequence[Standing], least: Standing) -> list[tuple[bytes, bytes]]:
    """The fields of an answer: of the limit with the least left, and in the IETF draft's words also of the others."""
    policies = ", ".join(f'"{one.limit.name}";q={one.limit.at_most};w={one.limit.window_s}' for one in standings)
    return [
        (b"x-ratelimit-limit", b"%d" % least.limit.at_most),
        (b"x-ratelimit-remaining", b"%d" % least.remaining),
        (b"x-ratelimit-reset", b"%d" % math.ceil(max(least.ends_at, time.time()))),
        (b"ratelimit-policy", policies.encode()),
        (b"ratelimit", b'"%b";r=%d;t=%d' % (least.limit.name.encode(), least.remaining, least.retry_after_s)),
    ]


def _limits(operation: Operation, path: str, caller: Caller) -> list[Limit]:
    if path.lstrip("/").partition("/")[0].partition(":")[0] in _SEED_NOUNS:
        is_batch = operation.method == "POST" and path in _BATCHES
        return limits_of_seed_nouns(caller.principal, caller.brand, is_batch=is_batch)
    return limits_of_key(caller.principal, caller.brand)


def _span(limit: Limit) -> str:
    return "a second" if limit.window_s == 1 else f"{limit.window_s} seconds"
