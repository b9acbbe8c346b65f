"""Where the embedded database lives: the files of one data directory, and which account may own them."""

import errno
import os
import pwd
import subprocess
from pathlib import Path

import msgspec

from stentor.errors import Problem

# PostgreSQL refuses to run as root. Without a user named `stentor`, root's database belongs to this uid. It lies where
# neither Debian nor systemd hands out numbers (60578-61183), and below 65536, where containers' id maps end.
_RESERVED_UID = 61_123
_USER_NAME = "stentor"

# What the server and its tools are given: none of a caller's PGDATA, PGPORT or LD_PRELOAD reaches them.
ENVIRONMENT = {"PATH": os.defpath, "LC_ALL": "C"}


class DatabaseRefused(Problem):
    """The embedded database cannot run here; the sentence says why and what to do."""

    code = "database-refused"
    title = "The embedded database cannot run here"


class Account(msgspec.Struct, frozen=True):
    """The uid and gid that PostgreSQL runs as."""

    uid: int
    gid: int

    @property
    def is_ours(self) -> bool:
        """Whether this process already runs as it."""
        return self.uid == os.geteuid()

    def run(self, command: list[str], *, stdin: int = subprocess.DEVNULL) -> subprocess.CompletedProcess[str]:
        """Runs a program to its end as this account, with nothing of our environment, and returns what it said."""
        return subprocess.run(  # noqa: S603 - callers pass our own programs
            command,
            stdin=stdin,
            cwd="/",
            env=ENVIRONMENT,
            capture_output=True,
            text=True,
            check=False,
            user=None if self.is_ours else self.uid,
            group=None if self.is_ours else self.gid,
            extra_groups=None if self.is_ours else [],
        )


class Home:
    """`DATA/postgres`: the cluster and what is beside it.

    As root, all of it belongs to root except the cluster and its logs, so that a taken-over database cannot make root
    write elsewhere through a link.
    """

    def __init__(self, data: Path) -> None:
        self.data = data.absolute()
        self.path = self.data / "postgres"
        self.cluster = self.path / "cluster"
        self.unfinished_cluster = self.path / "cluster.tmp"
        self.logs = self.path / "log"
        self.config = self.path / "postgresql.conf"
        self.password = self.path / "pgpass"
        self.socket_record = self.path / "sockets"
        self.users_lock = self.path / "users.lock"
        self.supervisor_lock = self.path / "supervisor.lock"
        self.supervisor_log = self.path / "supervisor.log"

    @property
    def postmaster_pid(self) -> Path:
        return self.cluster / "postmaster.pid"

    def make(self) -> Account:
        """Creates the directories that are missing and returns the account that PostgreSQL runs as.

        Directories that exist are left as they are. Raises DatabaseRefused when that account could not work here.
        """
        try:
            make_directories(self.path)
            account = self._account()
            if not self.logs.exists():
                self._make_logs(account)
        except OSError as error:
            raise DatabaseRefused(
                f"{error.filename or self.path}: {error.strerror}. Choose a directory you may write to with --data."
            ) from error
        if not account.is_ours:
            _refuse_unreachable(self.path, account)
        return account

    def _make_logs(self, account: Account) -> None:
        # Made aside and moved into place: of two starters at once the second would find the directory half made, owned by
        # root still, and take that for the account of the database.
        draft = self.path / f"log.{os.getpid()}"
        self.make_private(draft, account)
        try:
            draft.rename(self.logs)
        except OSError as error:
            draft.rmdir()
            if error.errno not in {errno.EEXIST, errno.ENOTEMPTY}:
                raise

    def make_private(self, path: Path, account: Account) -> None:
        """A new directory that only `account` may enter."""
        path.mkdir(mode=0o700)
        if account.is_ours:
            return
        try:
            os.chown(path, account.uid, account.gid)
        except OSError as error:
            path.rmdir()
            raise DatabaseRefused(
                f"{path} cannot be given to uid {account.uid}, which would run PostgreSQL for root: {error.strerror}."
                f" Add a user named {_USER_NAME}, or start Stentor as a normal user."
            ) from error

    def _account(self) -> Account:
        owner = next((path.stat() for path in (self.cluster, self.logs) if path.exists()), None)
        if os.geteuid() != 0:
            if owner is not None and owner.st_uid != os.geteuid():
                raise DatabaseRefused(
                    f"The database in {self.path} belongs to uid {owner.st_uid}. Start Stentor as that user or as root,"
                    " or choose another directory with --data."
                )
            return Account(os.geteuid(), os.getegid())
        if owner is None:
            return _account_for_root()
        if owner.st_uid == 0:
            raise DatabaseRefused(
                f"The database in {self.path} belongs to root, as which PostgreSQL refuses to run. Give it to a user:"
                f" chown -R {_account_for_root().uid} {self.cluster} {self.logs}"
            )
        return Account(owner.st_uid, owner.st_gid)


def _account_for_root() -> Account:
    try:
        entry = pwd.getpwnam(_USER_NAME)
    except KeyError:
        return Account(_RESERVED_UID, _RESERVED_UID)
    return Account(entry.pw_uid, entry.pw_gid)


def _refuse_unreachable(path: Path, account: Account) -> None:
    chain = [str(each) for each in (*reversed(path.parents), path)]
    # Asked of the kernel as that account, because modes alone do not tell of ACLs.
    script = 'for each; do test -x "$each" || { printf %s "$each"; exit 1; }; done'
    found = account.run(["/bin/sh", "-c", script, "sh", *chain])
    if found.returncode:
        raise DatabaseRefused(
            f"PostgreSQL does not run as root, and uid {account.uid} that runs it instead cannot enter {found.stdout}."
            " Choose a directory that others may pass through with --data (the default is /var/lib/stentor),"
            " or start Stentor as the user who owns that one."
        )


def sync_directory(path: Path) -> None:
    """The names in it are on disk at return."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_directories(path: Path) -> None:
    """Creates what is missing of the path: for root's so that its database account may pass through, else for us alone."""
    missing = [each for each in (path, *path.parents) if not each.exists()]
    for each in reversed(missing):
        each.mkdir(exist_ok=True)
        # Not by mkdir's argument, which obeys the umask.
        each.chmod(0o755 if os.geteuid() == 0 else 0o700)
