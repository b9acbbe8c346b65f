"""The digests of a chunk, brought into order: which lines are the first with theirs, and which repeat an earlier one."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from stentor.optouts.runs.index import U64, Digests
from stentor.optouts.runs.placing import PLACES, by_prefix

_FEW = 10_000
ROWS_MAX = PLACES


class Ordered(NamedTuple):
    """Each digest once, sorted, and the row in which it came first."""

    digests: Digests
    rows: npt.NDArray[np.intp]


def ordered(digests: Digests, rows: npt.NDArray[np.intp]) -> Ordered:
    """The digests of these rows, each once. Raises ValueError for rows beyond ROWS_MAX."""
    keys, places = by_prefix(digests.high)
    high, low = digests.high[places], digests.low[places]
    wrong = np.flatnonzero((high[1:] < high[:-1]) | ((high[1:] == high[:-1]) & (low[1:] < low[:-1])))
    for part in _alike(keys, wrong):
        # Side by side by their keys, and not yet by all of the digest; equal ones stay in the order of their places.
        right = np.lexsort((places[part], low[part], high[part]))
        places[part], high[part], low[part] = places[part][right], high[part][right], low[part][right]
    first = np.ones(len(high), dtype=bool)
    first[1:] = (high[1:] != high[:-1]) | (low[1:] != low[:-1])
    return Ordered(Digests(high[first], low[first]), rows[places[first]])


def _alike(keys: U64, wrong: npt.NDArray[np.intp]) -> Iterator[slice]:
    """Where keys are the same as at these places; everything at once, when these are many."""
    if len(wrong) > _FEW:
        # Of digests that are no hash of anything.
        yield slice(0, len(keys))
        return
    for key in np.unique(keys[wrong]):
        yield slice(int(np.searchsorted(keys, key, side="left")), int(np.searchsorted(keys, key, side="right")))
