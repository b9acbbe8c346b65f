"""Answers in files: what is written is read again, in little memory and under a quota."""

from pathlib import Path
from uuid import UUID, uuid4

import pytest

from stentor.api.spool import SPOOL_MEMORY_BYTES, Spool, Spools
from stentor.errors import Unavailable

pytestmark = pytest.mark.anyio

OWNER = uuid4()


@pytest.fixture
def spools(tmp_path: Path) -> Spools:
    return Spools(tmp_path / "spool", bytes_max=16 * SPOOL_MEMORY_BYTES)


async def _read(spool: Spool) -> bytes:
    return b"".join([piece async for piece in spool.pieces()])


async def test_a_small_answer_needs_no_file(spools: Spools, tmp_path: Path) -> None:
    spool = spools.spool(OWNER)

    await spool.write(b"[1,")
    await spool.write(b"2]")

    assert (spool.length, await _read(spool)) == (5, b"[1,2]")
    assert not (tmp_path / "spool").exists()


async def test_a_large_one_comes_back_byte_for_byte_in_pieces_and_leaves_no_file(
    spools: Spools, tmp_path: Path
) -> None:
    spool = spools.spool(OWNER)
    written = b"".join(b"%08d" % number for number in range(SPOOL_MEMORY_BYTES // 8 * 3 // 2))

    for start in range(0, len(written), 10_000):
        await spool.write(written[start : start + 10_000])
    pieces = [piece async for piece in spool.pieces()]

    assert b"".join(pieces) == written
    assert spool.length == len(written)
    assert max(map(len, pieces)) <= SPOOL_MEMORY_BYTES
    assert list((tmp_path / "spool").iterdir()) == []
    spool.close()
    spool.close()


async def test_what_is_too_much_is_refused_and_room_comes_back(spools: Spools) -> None:
    first, second = spools.spool(OWNER), spools.spool(OWNER)
    await first.write(bytes(3 * SPOOL_MEMORY_BYTES))

    with pytest.raises(Unavailable, match="top"):
        await second.write(bytes(2 * SPOOL_MEMORY_BYTES))
    second.close()
    first.close()

    third = spools.spool(OWNER)
    await third.write(bytes(4 * SPOOL_MEMORY_BYTES))
    assert third.length == 4 * SPOOL_MEMORY_BYTES
    third.close()


async def test_what_one_owner_fetches_slowly_leaves_room_for_others(spools: Spools) -> None:
    opened: list[Spool] = []

    async def write(owner: UUID, count: int) -> None:
        opened.append(spools.spool(owner))
        await opened[-1].write(bytes(count * SPOOL_MEMORY_BYTES))

    for owner in (uuid4() for _ in range(4)):
        await write(owner, 4)
        with pytest.raises(Unavailable, match="Your other"):
            await write(owner, 1)
    with pytest.raises(Unavailable, match="no room"):
        await write(OWNER, 1)

    for spool in opened:
        spool.close()
    await write(OWNER, 4)
    opened[-1].close()
