"""Children whose memory is bounded and whose death is survived."""

import asyncio
import ctypes
import errno
import os
import signal
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import duckdb
import numpy as np
import pytest

from stentor.optouts.columnar import connect, full_disks_named
from stentor.optouts.crew import ChildDied, Crew

pytestmark = pytest.mark.anyio

MEMORY_BYTES = 600_000_000


@pytest.fixture
async def crew() -> AsyncIterator[Crew]:
    async with Crew(memory_bytes=MEMORY_BYTES, size=2) as hired:
        yield hired


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


async def test_a_child_answers_and_is_asked_again(crew: Crew):
    async with crew.child() as child:
        answers = [await child.call(pow, 2, 10), await child.call(pow, 2, 11), await child.call(os.getpid)]
    async with crew.child() as again:
        assert (answers, again.pid) == ([1024, 2048, again.pid], child.pid)


async def test_what_a_function_raises_is_raised_here_and_the_child_goes_on(crew: Crew):
    async with crew.child() as child:
        with pytest.raises(FileNotFoundError):
            await child.call(os.stat, "/nowhere")
        assert await child.call(os.getpid) == child.pid


async def test_errors_of_what_only_children_load_are_raised_without_it(crew: Crew):
    with pytest.raises(RuntimeError, match="IOException"):
        await crew.call(exec, "import duckdb; duckdb.connect('/nowhere/at/all')")


async def test_a_child_that_dies_is_told_of_and_replaced(crew: Crew):
    with pytest.raises(ChildDied, match="signal 11"):
        await crew.call(ctypes.string_at, 0)

    assert await crew.call(pow, 2, 10) == 1024


async def test_a_child_gets_no_more_memory_than_it_may_have(crew: Crew):
    with pytest.raises(MemoryError):
        await crew.call(bytearray, MEMORY_BYTES)

    assert await crew.call(np.ones, 10) is not None


async def test_a_call_that_is_cancelled_ends_its_child(crew: Crew):
    async with crew.child() as child:
        task = asyncio.create_task(child.call(time.sleep, 100))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert not is_running(child.pid)

    assert await crew.call(pow, 2, 10) == 1024


async def test_nothing_is_left_of_a_crew_that_is_closed():
    async with Crew(memory_bytes=MEMORY_BYTES) as crew:
        pid = await crew.call(os.getpid)

    assert not is_running(pid)


async def test_calls_beyond_its_size_wait_for_a_free_child(crew: Crew):
    pids = await asyncio.gather(*(crew.call(os.getpid) for _ in range(8)))

    assert len(set(pids)) <= 2


async def test_children_end_with_their_parent(tmp_path: Path):
    script = tmp_path / "parent.py"
    script.write_text(
        "import asyncio, os\n"
        "from stentor.optouts.crew import Crew\n"
        "async def main():\n"
        "    async with Crew(memory_bytes=600_000_000) as crew:\n"
        "        print(await crew.call(os.getpid), flush=True)\n"
        "        await asyncio.Event().wait()\n"
        "asyncio.run(main())\n"
    )
    parent = await asyncio.create_subprocess_exec(sys.executable, str(script), stdout=asyncio.subprocess.PIPE)
    assert parent.stdout is not None
    child = int(await parent.stdout.readline())
    descriptor = os.pidfd_open(child)
    parent.send_signal(signal.SIGKILL)
    await parent.wait()

    gone = asyncio.get_running_loop().create_future()
    asyncio.get_running_loop().add_reader(descriptor, lambda: gone.done() or gone.set_result(True))
    assert await asyncio.wait_for(gone, 10)
    asyncio.get_running_loop().remove_reader(descriptor)
    os.close(descriptor)


def test_statements_read_and_write_in_their_directories_and_nowhere_else(tmp_path: Path):
    temp, other = tmp_path / "temp", tmp_path / "other"
    temp.mkdir()
    other.mkdir()
    with connect(100_000_000, 1, temp) as columnar:
        columnar.execute("COPY (SELECT 1 AS a) TO ?", [str(temp / "a.parquet")])
        for sql in (
            f"COPY (SELECT 1 AS a) TO '{other}/a.parquet'",
            "SELECT * FROM read_text('/etc/passwd')",
            "SET enable_external_access = true",
            "INSTALL httpfs",
        ):
            with pytest.raises(duckdb.Error):
                columnar.execute(sql)


def test_what_goes_beyond_its_memory_is_spilled_into_its_directory(tmp_path: Path):
    with connect(50_000_000, 1, tmp_path) as columnar:
        columnar.execute("CREATE TEMP TABLE t AS SELECT range AS a, md5(range::VARCHAR) AS b FROM range(3_000_000)")
        columnar.execute("CREATE TEMP TABLE u AS SELECT * FROM t ORDER BY b")

        assert columnar.execute("SELECT count(*), min(b) FROM u").fetchall()[0][0] == 3_000_000
        assert list((tmp_path / "spilled").iterdir())


@pytest.mark.fault("F17")
def test_a_disk_that_is_full_of_what_is_written_is_told_as_one(tmp_path: Path):
    full = tmp_path / "full.csv"
    full.symlink_to("/dev/full")

    with (
        connect(50_000_000, 1, tmp_path, directories=[Path("/dev")]) as columnar,
        pytest.raises(OSError, match="No space") as raised,
        full_disks_named(),
    ):
        columnar.execute("COPY (SELECT range FROM range(100_000)) TO ?", [str(full)])

    assert raised.value.errno == errno.ENOSPC


@pytest.mark.fault("F17")
def test_a_disk_that_is_full_of_what_is_spilled_is_told_as_one(tmp_path: Path):
    with duckdb.connect() as columnar:
        columnar.execute("SET memory_limit = '20MB'")
        columnar.execute("SET threads = 1")
        columnar.execute("SET temp_directory = ?", [str(tmp_path)])
        columnar.execute("SET max_temp_directory_size = '1MB'")
        with pytest.raises(OSError, match="No space") as raised, full_disks_named():
            columnar.execute(
                "CREATE TEMP TABLE t AS SELECT md5(range::VARCHAR), sha256(range::VARCHAR) FROM range(2_000_000)"
            )

    assert raised.value.errno == errno.ENOSPC


def test_other_errors_of_its_stay_its_own():
    with duckdb.connect() as columnar, pytest.raises(duckdb.Error), full_disks_named():
        columnar.execute("SELECT nothing")
