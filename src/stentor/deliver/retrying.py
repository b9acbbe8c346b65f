"""When a refused send is tried again, and when it is given up."""

import random

TRIES_MAX = 8
_FIRST_DELAY_S = 30.0
_DELAY_S_MAX = 3_600.0


def retry_delay_s(tries: int, retry_after_s: float | None, *, jitter: random.Random) -> float | None:
    """Seconds until the next try after `tries` tries; None when they are used up.

    Doubles from 30 s to an hour, half of it by chance, so that a provider that refused thousands at once does not get
    them all back at once. A longer `Retry-After` wins. Eight tries span about two hours; whoever is tried after that was
    ordered to be, and gets eight more.
    """
    if tries % TRIES_MAX == 0:
        return None
    delay_s = min(_FIRST_DELAY_S * 2 ** (tries % TRIES_MAX - 1), _DELAY_S_MAX)
    return max(delay_s / 2 + jitter.random() * delay_s / 2, retry_after_s or 0.0)
