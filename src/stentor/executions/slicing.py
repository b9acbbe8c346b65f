"""How an execution's people are cut: into slices of parts, and slices into chunks, by arithmetic alone.

A customer's id is evenly distributed, and its first 12 bits are the part. So a range of parts holds a predictable share
of the people, and the next 12 bits cut a slice into even chunks without a look at anybody.
"""

from uuid import UUID

import msgspec

from stentor.deliver.model import PLACE_BITS
from stentor.domain.ids import PARTS

SLICE_PEOPLE = 20_000
"""What one planning transaction takes: about 0.1 s of work, so a kill costs little and planners interleave."""

CHUNK_SENDS = 700
"""What a chunk aims at: two waves, so that workers share even a small execution."""

SLICES_MAX = 2048

CHUNKS_MAX = 1 << PLACE_BITS
"""As many as numbers have room for. More people than 700 times as many make larger chunks."""

_POSITION_BITS = 12
_REST_BITS = 128 - 12 - _POSITION_BITS


class Slice(msgspec.Struct, frozen=True):
    """Parts `part_from` to `part_to` inclusive, planned at once; `chunks` per route, numbered from `chunk_base`."""

    number: int
    part_from: int
    part_to: int
    chunks: int
    chunk_base: int


def cut_slices(subscribers: int, routes: int, chunk_sends: int = CHUNK_SENDS) -> list[Slice]:
    """The slices for that many people on that many routes; the estimate sizes them and never decides who is meant.

    `chunk_sends`: what their chunks aim at.
    """
    count = min(max(1, -(-subscribers // SLICE_PEOPLE)), SLICES_MAX)
    chunks = min(max(1, -(-subscribers // (count * chunk_sends))), CHUNKS_MAX // (count * routes))
    bounds = [number * PARTS // count for number in range(count + 1)]
    return [
        Slice(
            number=number,
            part_from=bounds[number],
            part_to=bounds[number + 1] - 1,
            chunks=chunks,
            chunk_base=number * chunks * routes,
        )
        for number in range(count)
    ]


def chunk_keys(part_from: int, part_to: int, chunks: int, index: int) -> tuple[UUID, UUID]:
    """The first and the last customer id that chunk `index` of a slice can hold: the inverse of the plan's arithmetic."""
    positions = (part_to - part_from + 1) << _POSITION_BITS
    first = -(-index * positions // chunks)
    after = -(-(index + 1) * positions // chunks)
    base = part_from << _POSITION_BITS
    return UUID(int=(base + first) << _REST_BITS), UUID(int=((base + after) << _REST_BITS) - 1)
