"""The machine: the data directory, the secret in it, room on its disk."""

import os
import shutil
import stat
from collections.abc import Iterable
from pathlib import Path

from stentor.accounts.installation import SECRET_FILE, InstallationSecret, SecretRefused
from stentor.cli.doctor.finding import Finding, bad, ok, warn
from stentor.settings import Settings, unknown_among

GIB = 1024**3
DISK_FREE_LOW = 5 * GIB
"""A run of a million people writes about 1 GB before it is cleaned up."""


def check_environment(variables: Iterable[str]) -> Finding:
    """Whether all that is set by the environment means something here."""
    if unknown := unknown_among(variables):
        return warn(
            "environment",
            f"There is no setting {', '.join(unknown)}: what is said there is not heard.",
            "See `docs/operating.md` for their names.",
        )
    return ok("environment", "All settings in it are known.")


def check_data_directory(data: Path) -> Finding:
    """Whether it is there, ours to write, and nobody else's."""
    if not data.exists():
        return warn(
            "data directory", f"{data} is not there yet.", "The first start makes it; or name another by --data."
        )
    if not os.access(data, os.W_OK | os.X_OK):
        return bad("data directory", f"{data} cannot be written.", "Start as its owner, or name another by --data.")
    if stat.S_IMODE(data.stat().st_mode) & 0o022:
        return bad("data directory", f"{data} can be changed by others.", f"Run `chmod go-w {data}`.")
    return ok("data directory", str(data))


def check_secret(settings: Settings, data: Path) -> Finding:
    """Whether the installation's secret is there, long enough and readable by its owner alone; makes none."""
    file = data / SECRET_FILE
    try:
        if settings.secret is not None:
            InstallationSecret.from_text(settings.secret.get_secret_value())
            return ok("secret", "It is set by STENTOR_SECRET.")
        if not file.exists():
            return warn(
                "secret", f"{file} is not there yet.", "The first start makes it. Back it up with the database."
            )
        InstallationSecret.from_file(file)
    except SecretRefused as problem:
        return bad("secret", problem.detail, "Without it keys, links and stored credentials are worthless.")
    except OSError as error:
        return bad("secret", f"{file} cannot be read: {error.strerror}.", "Start as its owner.")
    return ok("secret", f"{file}, readable by its owner alone.")


def check_disk(data: Path, min_free_bytes: int) -> Finding:
    """Whether there is room where the data directory lies, beyond what is kept free."""
    place = next(each for each in (data, *data.parents) if each.exists())
    free = shutil.disk_usage(place).free
    found = f"{free / GIB:,.1f} GiB are free in {place}."
    if free < min_free_bytes:
        advice = "Make room before PostgreSQL stops, or move the data directory. No files are imported meanwhile."
        return bad("disk", found, advice)
    if free < DISK_FREE_LOW:
        return warn("disk", found, "Make room soon.")
    return ok("disk", found)
