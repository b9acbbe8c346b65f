"""The storage of opt-out lists: whether it answers, has every file that lists go by, and room to work in."""

import shutil
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from stentor.cli.doctor.finding import Finding, bad, ok, warn
from stentor.db.pool import Database
from stentor.errors import Unavailable
from stentor.optouts.presence import ListFile, absent_files, live_files
from stentor.optouts.storage import Storage

GB = 1_000_000_000
MB = 1_000_000
_NAMED = 3


async def check_lists(db: Database, storage: Storage, min_free_bytes: int) -> list[Finding]:
    """What there is to say of the files of opt-out lists."""
    async with db.read() as conn:
        files = await live_files(conn)
        try:
            absent = await absent_files(conn, storage)
        except (Unavailable, OSError) as problem:
            return [
                bad("list storage", f"It cannot be read: {problem}.", "Until it can, messages that go by lists wait.")
            ]
    return [_files(files, absent), *_room(files, storage.work, min_free_bytes)]


def _files(files: Sequence[ListFile], absent: Sequence[ListFile]) -> Finding:
    if not files:
        return ok("list storage", "It answers; no opt-out list has files yet.")
    if not absent:
        size = sum(file.bytes for file in files)
        told = f"{size / GB:,.1f} GB" if size >= GB else f"{size / MB:,.1f} MB"
        return ok("list storage", f"All {len(files):,} files of opt-out lists are there, {told}.")
    named = ", ".join(f"{file.name} of {file.list!r}" for file in absent[:_NAMED])
    more = f" and {len(absent) - _NAMED:,} more" if len(absent) > _NAMED else ""
    return bad(
        "list storage",
        f"Files of opt-out lists are missing, or not whole: {named}{more}.",
        "Put them back from a backup. Until then messages that go by these lists wait, and their exports fail.",
    )


def _room(files: Sequence[ListFile], work: Path, min_free_bytes: int) -> list[Finding]:
    """Whether the largest list can be written once more, as merging its files does."""
    place = next(each for each in (work, *work.parents) if each.exists())
    free = shutil.disk_usage(place).free
    sizes: Counter[tuple[object, str]] = Counter()
    for file in files:
        sizes[file.brand_id, file.list] += file.bytes
    largest = max(sizes.values(), default=0)
    if not largest or free >= largest + min_free_bytes:
        return []
    return [
        warn(
            "room for lists",
            f"{free / GB:,.1f} GB are free in {place}, and merging the files of the largest list may take {largest / GB:,.1f} GB.",
            "Make room: till then its files are not merged, and nobody who was erased is taken out of them.",
        )
    ]
