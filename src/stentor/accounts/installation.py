"""The installation's one secret, from which every key that signs or encrypts is derived."""

import base64
import binascii
import hashlib
import os
import re
import secrets
import stat
from pathlib import Path

from stentor.accounts import store
from stentor.db.pool import Database
from stentor.errors import Problem

SECRET_BYTES_MIN = 32
SECRET_FILE = "secret.key"  # noqa: S105  a file's name

_NEW_SECRET_BYTES = 48
_PURPOSE = re.compile(r"[a-z][a-z0-9-]{0,31}")


class SecretRefused(Problem):
    """The installation's secret is too short, readable by others, or not the one this database was made with."""

    code = "secret-refused"
    title = "The installation's secret cannot be used"


class InstallationSecret:
    """At least 32 bytes that all processes of an installation share and that are not in the database.

    Without it keys, links in messages and stored credentials are worthless: whoever backs up the database backs up this.
    """

    def __init__(self, secret: bytes) -> None:
        if len(secret) < SECRET_BYTES_MIN:
            raise SecretRefused(
                f"The installation's secret has {len(secret)} bytes; at least {SECRET_BYTES_MIN} are needed. "
                "Make one with `openssl rand -base64 48`."
            )
        self._root = hashlib.blake2b(secret, person=b"stentor-secret").digest()

    @classmethod
    def from_text(cls, text: str) -> "InstallationSecret":
        """The secret of a setting: base64, or any text of at least 32 bytes. Raises SecretRefused for a shorter one."""
        stripped = text.strip()
        try:
            decoded = base64.b64decode(stripped, validate=True)
        except (binascii.Error, ValueError):
            decoded = b""
        return cls(decoded if len(decoded) >= SECRET_BYTES_MIN else stripped.encode())

    @classmethod
    def from_file(cls, path: Path) -> "InstallationSecret":
        """The secret in that file, made now if there is none; of two processes that make it at once, one wins.

        Raises SecretRefused when others than its owner can read it.
        """
        if not path.exists():
            _make_file(path)
        if stat.S_IMODE(path.stat().st_mode) & 0o077:
            raise SecretRefused(f"{path} can be read by others. Run `chmod 600 {path}`.")
        return cls.from_text(path.read_text(encoding="ascii"))

    def derive(self, purpose: str) -> bytes:
        """32 bytes for one purpose (`pepper`, `links`, …), the same for ever, telling nothing about any other."""
        if not _PURPOSE.fullmatch(purpose):
            raise ValueError(f"A purpose is a short lower-case word, not {purpose!r}.")
        return hashlib.blake2b(purpose.encode(), digest_size=32, key=self._root, person=b"stentor-derive").digest()


async def check_installation(db: Database, secret: InstallationSecret) -> None:
    """Notes at the first start which secret this database was made with, and raises SecretRefused when it is another."""
    fingerprint = secret.derive("fingerprint")
    async with db.transaction() as conn:
        await store.note_installation(conn, fingerprint)
        noted = await store.installation_fingerprint(conn)
    if noted != fingerprint:
        raise SecretRefused(
            "This database was made with another secret: its keys, links and stored credentials would not work. "
            f"Set STENTOR_SECRET, or the {SECRET_FILE} in the data directory, to the one from that installation."
        )


def _make_file(path: Path) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(base64.b64encode(secrets.token_bytes(_NEW_SECRET_BYTES)) + b"\n")
            file.flush()
            os.fsync(file.fileno())
        try:
            # A link and not a rename: it fails where another process was faster, whose secret then holds for both.
            os.link(draft, path)
        except FileExistsError:
            return
    finally:
        draft.unlink()
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
