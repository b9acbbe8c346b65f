"""What lists are asked for the rows of a block: digests, each with the row that is removed when a list holds it."""

import functools
from collections.abc import Collection, Iterable, Sequence

import msgspec
import numpy as np
import numpy.typing as npt

from stentor.domain.vocabulary import ChannelKind
from stentor.optouts.hashing import HashName, digest_of
from stentor.optouts.runs.held import HeldList, held
from stentor.optouts.runs.index import Digests
from stentor.optouts.runs.placing import PLACES, by_prefix
from stentor.optouts.scrubbing.rows import Mask, Places

Bits = npt.NDArray[np.uint8]

ASKED_MAX = PLACES


class AskedList(msgspec.Struct, frozen=True):
    """A list that is asked for addresses of these channels (bits of EMAIL and SMS)."""

    files: HeldList
    channels: int


class Asked:
    """Collects digests by the hash that they are made with."""

    def __init__(self, rows: int, names: Collection[HashName]) -> None:
        self._rows = rows
        self._arrays: dict[HashName, list[tuple[Digests, Places, Bits]]] = {name: [] for name in names}
        self._single: dict[HashName, tuple[list[bytes], list[int], list[int]]] = {name: ([], [], []) for name in names}

    def add(self, name: HashName, digests: Digests, rows: Places, bits: Bits) -> None:
        """Many at once: the row of each, and the channels (bits) of lists that it is asked of."""
        self._arrays[name].append((digests, rows, bits))

    def add_one(self, name: HashName, digest: bytes, row: int, bits: int) -> None:
        """One of the forms of a row."""
        digests, rows, channels = self._single[name]
        digests.append(digest)
        rows.append(row)
        channels.append(bits)

    def held_rows(self, lists: Iterable[AskedList]) -> Mask:
        """Which rows one of the lists holds. Raises ValueError for more digests than ASKED_MAX of one hash."""
        found = np.zeros(self._rows, dtype=bool)
        asked = {name: self._in_order(name) for name in self._arrays}
        for one in lists:
            digests, rows, bits = asked[one.files.hash]
            hits = held(one.files).holds(digests) & (bits & one.channels > 0)
            found[rows[hits]] = True
        return found

    def _in_order(self, name: HashName) -> tuple[Digests, Places, Bits]:
        single, single_rows, single_bits = self._single[name]
        parts = [
            *self._arrays[name],
            (Digests.of(single), np.array(single_rows, dtype=np.int64), np.array(single_bits, dtype=np.uint8)),
        ]
        high = np.concatenate([digests.high for digests, _, _ in parts])
        low = np.concatenate([digests.low for digests, _, _ in parts])
        rows = np.concatenate([places for _, places, _ in parts])
        bits = np.concatenate([channels for _, _, channels in parts])
        # Two that are alike but for their last bits may stand in the wrong order; order is for speed alone.
        _, order = by_prefix(high)
        return Digests(high[order], low[order]), rows[order], bits[order]


def held_hosts(hosts: Sequence[str], lists: Iterable[AskedList]) -> list[str]:
    """Which of these host names a list holds as a whole domain."""
    found: set[str] = set()
    digests: dict[HashName, Digests] = {}
    for one in lists:
        if one.channels & ChannelKind.EMAIL.bit:
            name = one.files.hash
            if name not in digests:
                digests[name] = Digests.of(_of_domain(host, name) for host in hosts)
            hits = held(one.files).holds(digests[name])
            found.update(hosts[place] for place in hits.nonzero()[0].tolist())
    return sorted(found)


# People share domains.
@functools.lru_cache(maxsize=100_000)
def _of_domain(host: str, name: HashName) -> bytes:
    return digest_of(f"@{host}", name)
