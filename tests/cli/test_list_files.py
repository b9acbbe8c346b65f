"""Files that commands fetch: all of one is in its place, or nothing, and a killed command goes on by itself."""

from collections.abc import AsyncIterator
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from stentor.cli.list_files import Target
from stentor.optouts.jobs.model import ResultFile

pytestmark = pytest.mark.anyio


async def in_place(path: Path, content: bytes) -> tuple[Target, UUID]:
    """A file that was fetched and has its name; its command has not ended yet."""

    async def read(_: ResultFile, start: int) -> AsyncIterator[bytes]:
        yield content[start:]

    target, job_id = Target(path, force=False, option="--out"), uuid4()
    await target.fetch(job_id, ResultFile("results/x", len(content), "tag"), read, lambda _: None)
    target.put_in_place(job_id)
    return target, job_id


def left_in(place: Path) -> list[str]:
    return [path.name for path in place.iterdir()]


async def test_what_a_killed_command_put_in_place_is_replaced_by_the_next_one_unasked(tmp_path: Path):
    out = tmp_path / "out.csv"
    await in_place(out, b"first")

    again, job_id = await in_place(out, b"second")
    again.let_go(job_id)

    assert (out.read_bytes(), left_in(tmp_path)) == (b"second", ["out.csv"])


async def test_what_somebody_else_put_there_stays(tmp_path: Path):
    out = tmp_path / "out.csv"
    target, job_id = await in_place(out, b"first")
    target.let_go(job_id)

    with pytest.raises(SystemExit):
        Target(out, force=False, option="--out")

    assert out.read_bytes() == b"first"
