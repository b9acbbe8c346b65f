"""When a refused send is tried again, and when it is given up."""

import random

TRIES_MAX = 8
_FIRST_DELAY_S = 30.0
_LEAST_S = 5.0
_SPREAD_S_MIN = 15.0
"""Whoever is told when to come again does not come with everybody else who was told so."""


def retry_delay_s(tries: int, retry_after_s: float | None, *, jitter: random.Random) -> float | None:
    """Seconds until the next try after `tries` tries; None when they are used up.

    Between 5 s and what doubles from 30 s to half an hour, all of it by chance, so that a provider that refused thousands
    at once does not get them all back at once; never before `Retry-After`, and by chance then, too. Eight tries span an
    hour at the most; whoever is tried after that was ordered to be, and gets eight more.
    """
    if tries % TRIES_MAX == 0:
        return None
    soonest_s = max(_LEAST_S, retry_after_s or 0.0)
    latest_s = max(_FIRST_DELAY_S * 2 ** (tries % TRIES_MAX - 1), soonest_s + _SPREAD_S_MIN)
    return jitter.uniform(soonest_s, latest_s)
