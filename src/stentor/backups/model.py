"""What a backup is: a directory with a dump, the installation's secret, and a manifest that says what they are."""

from datetime import datetime
from pathlib import Path

import msgspec

from stentor.db.migrate import AppliedMigration
from stentor.errors import Problem

FORMAT = 1
MANIFEST_BYTES_MAX = 1 << 20

MANIFEST_FILE = "manifest.json"
DUMP_FILE = "database.dump"

WITHOUT_DATA = (
    "schema_migration",
    "installation",
    "role_lease",
    "user_session",
    "sign_in_link",
    "account_letter",
    "hub_token",
)
"""Tables whose rows are not in the dump. Without its history a database is one that nothing of ours starts on, so that nobody
makes a copy that sends, by restoring the dump alone. The last four let somebody in, and are over when a copy is made."""


class BackupRefused(Problem):
    """The backup cannot be taken or restored like this; nothing was changed."""

    code = "backup-refused"
    title = "This backup cannot be taken or restored"


class BackupFailed(Problem):
    """It broke off; the sentence says what was left behind."""

    code = "backup-failed"
    title = "The backup or the restore broke off"


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What lies beside it. `taken_at`: everything committed by then is in the dump, and nothing later.

    `has_secret`: the secret lies beside it, as the file that a data directory has; else it is kept elsewhere.
    `list_files`, `list_bytes`: of the opt-out lists; with `has_lists` they lie beside it, else in the object storage alone.
    """

    format: int
    stentor: str
    taken_at: datetime
    created_at: datetime
    server_version: str
    database_bytes: int
    dump_bytes: int
    dump_sha256: str
    secret_fingerprint: str
    has_secret: bool
    migrations: list[AppliedMigration]
    list_files: int = 0
    list_bytes: int = 0
    has_lists: bool = False

    @property
    def schema(self) -> int:
        """The number of its last migration."""
        return self.migrations[-1].number


def read_manifest(backup: Path) -> Manifest:
    """The manifest of that backup. Raises BackupRefused when there is none, or one that this program cannot read."""
    file = backup / MANIFEST_FILE
    try:
        with file.open("rb") as opened:
            text = opened.read(MANIFEST_BYTES_MAX + 1)
        found = msgspec.json.decode(text, type=_Format).format if len(text) <= MANIFEST_BYTES_MAX else 0
        if found > FORMAT:
            raise BackupRefused(f"{backup} was made by a newer Stentor (format {found}). Restore it with that one.")
        if found == FORMAT:
            return msgspec.json.decode(text, type=Manifest)
    except OSError as error:
        raise BackupRefused(
            f"{file}: {error.strerror}. Name the directory that `stentor backup` wrote; without its manifest it is"
            " one that broke off."
        ) from error
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise BackupRefused(f"{file} cannot be read: {error}.") from error
    raise BackupRefused(f"{file} is no manifest of a backup.")


class _Format(msgspec.Struct):
    format: int
