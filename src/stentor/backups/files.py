"""Files that are written to stay: whole, private, and on disk before anybody is told of them."""

import hashlib
import os
import shutil
from pathlib import Path

from stentor.backups.model import BackupRefused
from stentor.db.home import sync_directory

_BLOCK_BYTES = 1 << 20


def sha256_of(path: Path) -> str:
    """The file's SHA-256 in hex: a gigabyte takes about a second."""
    with path.open("rb", buffering=0) as file:
        digest = hashlib.sha256()
        while block := file.read(_BLOCK_BYTES):
            digest.update(block)
    return digest.hexdigest()


def write_private(path: Path, content: bytes) -> None:
    """A new file that its owner alone may read, on disk at return. Raises FileExistsError."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(descriptor)
    sync_directory(path.parent)


def check_room(path: Path, needed_bytes: int, what: str) -> None:
    """Raises BackupRefused when less than that is free where `path` lies, or will lie."""
    place = next(each for each in (path.absolute(), *path.absolute().parents) if each.exists())
    free = shutil.disk_usage(place).free
    if free < needed_bytes:
        raise BackupRefused(
            f"{place} has {shown(free)} free and {what} may take {shown(needed_bytes)}. Make room, or choose another place."
        )


def shown(size_bytes: int) -> str:
    """`1.2 GB`."""
    size = float(size_bytes)
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:,.1f} TB"
