"""How often one caller may ask a path that takes no key; counted in this process, for as long as it is remembered."""

import math
import time
from collections import OrderedDict
from collections.abc import Hashable
from ipaddress import IPv6Address, IPv6Network

from stentor.api.proxies import Address
from stentor.errors import RateLimited

# Whoever invents more callers than this pushes out others' buckets, and gets nothing but a fresh burst for it.
CALLERS_MAX = 50_000

# What a line is given as its own: whoever has one address of it has them all.
_IPV6_LINE_BITS = 64


class Throttle:
    """Lets `burst` calls through at once and `per_s` a second after that, for each caller.

    A caller is remembered as it is given, so what strangers send has to be short by then.
    """

    def __init__(self, *, per_s: float, burst: int, callers_max: int = CALLERS_MAX) -> None:
        self._per_s = per_s
        self._burst = burst
        self._callers_max = callers_max
        self._full_at: OrderedDict[Hashable, float] = OrderedDict()

    def take(self, caller: Hashable) -> None:
        """Counts a call. Raises RateLimited when it is one too many."""
        now = time.monotonic()
        # A bucket is the moment at which it is full again: each call moves it by the time that one token takes.
        full_at = max(self._full_at.pop(caller, now), now) + 1 / self._per_s
        wait_s = full_at - now - self._burst / self._per_s
        self._full_at[caller] = full_at if wait_s <= 0 else full_at - 1 / self._per_s
        if len(self._full_at) > self._callers_max:
            self._full_at.popitem(last=False)
        if wait_s > 0:
            raise RateLimited(
                "Too many calls. Ask again in a moment.", retry_after_s=math.ceil(wait_s), limit=self._burst
            )


def line_of(address: Address | None) -> Hashable:
    """The caller behind an address, as far as addresses tell callers apart: of IPv6, the network of 64 bits."""
    if isinstance(address, IPv6Address):
        return IPv6Network((address, _IPV6_LINE_BITS), strict=False)
    return address
