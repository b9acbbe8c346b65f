"""The database: whether it answers, has the schema of this program and our time, and who is written to from it."""

import time
from datetime import timedelta

from stentor.accounts.installation import SECRET_FILE, SecretRefused
from stentor.cli.database import within
from stentor.cli.doctor.finding import Finding, bad, ok, warn
from stentor.cli.doctor.lists import check_lists
from stentor.clock import Clock
from stentor.db.home import DatabaseRefused, Home
from stentor.db.migrate import MigrationRefused, status
from stentor.db.pool import Database
from stentor.db.sql import QuerySet, Statement
from stentor.errors import Unavailable
from stentor.settings import Settings
from stentor.wiring.core import Core, accounts, core, data_directory
from stentor.wiring.services import services

SKEW_NOTABLE = timedelta(seconds=1)
SKEW_MAX = timedelta(seconds=30)
"""Leases and due times go by the database's clock alone; what a message says of now goes by the machine's."""


class Sql(QuerySet, file="queries.sql", package=__package__):
    clock: Statement


def examine_database(settings: Settings) -> list[Finding]:
    """What there is to say of the database; one that was never made is not made now."""
    if settings.database_url is None and not Home(data_directory(settings)).cluster.exists():
        return [warn("database", "It is not made yet.", "The first start makes it; or set STENTOR_DATABASE_URL.")]
    try:
        return within(settings, lambda dsn: _examine(settings, dsn))
    except (DatabaseRefused, Unavailable) as problem:
        return [bad("database", str(problem), "Nothing works without it.")]


async def _examine(settings: Settings, dsn: str) -> list[Finding]:
    async with Database(dsn, size=1, prepared=settings.database_prepared, application_name="stentor doctor") as db:
        findings = [*await _asked_for_the_time(db), await _schema(db)]
    has_secret = settings.secret is not None or (data_directory(settings) / SECRET_FILE).exists()
    if has_secret and findings[-1].state == "ok":
        try:
            async with core(settings, dsn, role="doctor", size=1) as started:
                lists = await check_lists(started.db, started.storage, settings.min_free_bytes)
                findings += [*await _restored(started), await _senders(started), *lists]
        except SecretRefused as problem:
            findings.append(bad("secret", problem.detail, "Use the secret of the installation that made the database."))
    return findings


async def _asked_for_the_time(db: Database) -> list[Finding]:
    async with db.read() as conn:
        asked_at, started_s = Clock().now(), time.perf_counter()
        answered = await Sql.clock.value(conn)
        took_s = time.perf_counter() - started_s
        version = conn.info.parameter_status("server_version")
    skew = abs(answered - asked_at - timedelta(seconds=took_s / 2))
    return [ok("database", f"PostgreSQL {version} answers in {took_s * 1000:.1f} ms."), _clock(skew)]


def _clock(skew: timedelta) -> Finding:
    found = f"The database's clock and this machine's are {skew.total_seconds():.2f} s apart."
    if skew > SKEW_MAX:
        return bad("clock", found, "Let both machines keep time by NTP.")
    if skew > SKEW_NOTABLE:
        return warn("clock", found, "Let both machines keep time by NTP.")
    return ok("clock", found)


async def _schema(db: Database) -> Finding:
    try:
        state = await status(db)
    except MigrationRefused as refused:
        return bad("schema", refused.detail, "Nothing of this version may run on it.")
    if state.pending:
        files = ", ".join(migration.file for migration in state.pending)
        return bad("schema", f"It lacks {files}.", "Run `stentor migrate`; `stentor serve` does it by itself.")
    return ok("schema", f"It is at migration {len(state.applied):04}, the newest.")


async def _restored(started: Core) -> list[Finding]:
    installation = await accounts(started).installation()
    if installation.paused_at is None:
        return []
    return [
        bad(
            "paused",
            f"It was restored from the backup of {installation.backup_at:%Y-%m-%d %H:%M} UTC and is paused: it sends nothing.",
            "When the installation that was backed up is off for good, run `stentor resume`.",
        )
    ]


async def _senders(started: Core) -> Finding:
    served = services(started)
    for brand in await served.accounts.brands():
        senders = await served.senders.page(brand.id)
        if any(sender.enabled and sender.kind != "sandbox" for sender in senders):
            return ok("senders", "There are senders to real people.")
    return warn(
        "senders",
        "All messages go to the sandbox inbox; nobody real is written to.",
        "When you mean to write to people, make a sender: POST /v1/groups/{group}/senders.",
    )
