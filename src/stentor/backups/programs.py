"""PostgreSQL's own programs at work on our database: pg_dump and pg_restore."""

import asyncio
import os
from collections.abc import Callable, Sequence

import msgspec
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from stentor.backups.model import BackupFailed, BackupRefused
from stentor.db.binaries import Binaries
from stentor.db.connection import Connection
from stentor.db.pool import behind_pooler

Tick = Callable[[float], None]
"""Told every few seconds for how many of them a program has been working."""

TICK_S = 5.0
_WORDS_KEPT = 2_000
# From this version on pg_restore begins with a setting that older servers do not know.
_RESTORES_NO_OLDER = 17


class Programs(msgspec.Struct, frozen=True):
    """The programs, and the database that they work on."""

    binaries: Binaries
    dsn: str

    async def dump(self, arguments: Sequence[str], tick: Tick) -> None:
        """Runs pg_dump to its end. Raises BackupFailed with what it said last."""
        await self._run("pg_dump", [*arguments, "--dbname", self._conninfo], tick)

    async def restore(self, arguments: Sequence[str], tick: Tick) -> None:
        """Runs pg_restore to its end. Raises BackupFailed with what it said last."""
        await self._run("pg_restore", ["--dbname", self._conninfo, *arguments], tick)

    async def check_dumps(self, conn: Connection) -> None:
        """Raises BackupRefused behind a pooler, and when pg_dump is older than the server."""
        await _check_is_direct(conn)
        server = conn.info.server_version // 10_000
        if server > self.binaries.major:
            raise self._misfit(server)

    async def check_restores(self, conn: Connection) -> None:
        """Raises BackupRefused behind a pooler, and when pg_restore cannot work on a server of that version."""
        await _check_is_direct(conn)
        server = conn.info.server_version // 10_000
        if server < _RESTORES_NO_OLDER <= self.binaries.major:
            raise self._misfit(server)

    def _misfit(self, server: int) -> BackupRefused:
        return BackupRefused(
            f"The server is PostgreSQL {server} and the programs here are of {self.binaries.major}, which do not work on it."
            f" Name the directory with those of {server} by STENTOR_POSTGRES_BIN."
        )

    @property
    def _conninfo(self) -> str:
        # Without the password: whoever may list processes reads their arguments.
        return make_conninfo(self.dsn, password=None)

    async def _run(self, name: str, arguments: Sequence[str], tick: Tick) -> None:
        password = conninfo_to_dict(self.dsn).get("password")
        environment = {**os.environ, "LC_ALL": "C", **({"PGPASSWORD": str(password)} if password else {})}
        try:
            process = await asyncio.create_subprocess_exec(
                self.binaries.program(name),
                *arguments,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.DEVNULL,
                stderr=asyncio.subprocess.PIPE,
                env=environment,
            )
        except OSError as error:
            raise BackupRefused(
                f"{self.binaries.program(name)} cannot be run: {error.strerror}. STENTOR_POSTGRES_BIN names others."
            ) from error
        words = await _attended(process, tick)
        if process.returncode:
            raise BackupFailed(f"{name} ended with {process.returncode}: {words.strip()[-_WORDS_KEPT:]}")


async def _check_is_direct(conn: Connection) -> None:
    # The programs empty the search path of their session; the pooler hands it to the next process, which then finds no table.
    if await behind_pooler(conn):
        raise BackupRefused(
            "A pooler stands between here and the database, and PostgreSQL's programs would leave their settings to whoever "
            "uses its connections next. Set STENTOR_DATABASE_DIRECT_URL to the server's own address and run this again."
        )


async def _attended(process: asyncio.subprocess.Process, tick: Tick) -> str:
    """What the program said until its end. Interrupted, it is ended too."""
    began_s = asyncio.get_running_loop().time()
    talking = asyncio.ensure_future(process.communicate())
    try:
        while not (await asyncio.wait({talking}, timeout=TICK_S))[0]:
            tick(asyncio.get_running_loop().time() - began_s)
        return (await talking)[1].decode(errors="replace")
    except BaseException:
        talking.cancel()
        if process.returncode is None:
            process.terminate()
            await process.wait()
        raise
