"""The order of many digests, found many times as fast as by asking for it."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from stentor.optouts.runs.index import U64

_PLACE_BITS = 24
_PLACES = np.uint64((1 << _PLACE_BITS) - 1)

PLACES = 1 << _PLACE_BITS
"""So many digests are put in order at once."""


class Placed(NamedTuple):
    """The highs in order but for their lowest 24 bits, which are gone, and where each of them stood."""

    prefixes: U64
    places: npt.NDArray[np.intp]


def by_prefix(high: U64) -> Placed:
    """The highs of digests in order, as far as their upper 40 bits tell it; such as are alike there stay as they stood.

    Raises ValueError for more than PLACES.
    """
    if len(high) > PLACES:
        raise ValueError(f"{len(high)} digests are more than {PLACES}.")
    # Sorting numbers is four times as fast as asking for their order: the place goes along in the lowest bits.
    keys = (high & ~_PLACES) | np.arange(len(high), dtype=np.uint64)
    keys.sort()
    places = (keys & _PLACES).view(np.intp)
    keys &= ~_PLACES
    return Placed(keys, places)
