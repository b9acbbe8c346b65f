"""A compaction, and the deletion of what it replaced two hours later, in a process of its own: it may be killed anywhere."""

import asyncio
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from uuid import UUID

from stentor.db.pool import Database
from stentor.failpoints import VARIABLE
from stentor.optouts.compaction.clearing import delete_replaced
from stentor.optouts.compaction.compacting import Compactor
from stentor.optouts.storage import DirectoryStorage

LATER = timedelta(hours=2)

HITS = {
    "lapse.before_commit": 1,
    "lapse.after_commit": 1,
    # Of the runs that are merged, of the segments that are, and of an old run and an old segment that are cleared.
    "compact.stored": 4,
    "compact.before_commit": 4,
    "compact.after_commit": 4,
    "erased.before_commit": 1,
    "erased.after_commit": 1,
    # Runs, then segments.
    "replaced.deleted": 2,
}
"""How often an undisturbed one comes to each of its failpoints."""


def lived(dsn: str, root: Path, brand_id: UUID, list_id: UUID, failpoints: str = "") -> int:
    """How it ended: 0, or minus the signal that killed it."""
    return subprocess.run(
        [
            sys.executable,
            "-c",
            "import compaction_life; compaction_life.main()",
            dsn,
            root,
            str(brand_id),
            str(list_id),
        ],
        env={VARIABLE: failpoints, "PYTHONPATH": ":".join(sys.path)},
        check=False,
    ).returncode


def main() -> None:
    dsn, root, brand_id, list_id = sys.argv[1:]
    asyncio.run(_live(dsn, DirectoryStorage(Path(root)), UUID(brand_id), UUID(list_id)))


async def _live(dsn: str, storage: DirectoryStorage, brand_id: UUID, list_id: UUID) -> None:
    async with Database(dsn, size=2) as db:
        await Compactor(db, storage, min_free_bytes=0).compact(brand_id, list_id, everything=True)
    async with Database(dsn, size=2, shift=LATER) as db:
        await delete_replaced(db, storage)
