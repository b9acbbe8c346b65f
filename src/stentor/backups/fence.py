"""A restored copy sends nothing that the installation it was copied from may have sent, or is sending now.

It arrives paused: every statement that plans, claims, starts or resends finds nothing while `installation.paused_at` is
set. Then it is fenced: leases end, what was on the wire is in doubt, what was under way is paused execution by execution.
An operator lets the copy go, and after that each of these executions.

Nor does anybody come in by what the backup brought back: sessions, links and invitations of then end, and no key opens anything
until the log of revocations was read.
"""

import random
from itertools import groupby

import msgspec
import structlog

from stentor.accounts.audit import record
from stentor.accounts.model import Installation
from stentor.db.connection import Connection
from stentor.db.pool import Database
from stentor.db.sql import QuerySet, Statement
from stentor.deliver.model import Chunk, Claim
from stentor.domain.vocabulary import ChannelKind, Lane
from stentor.errors import Conflict
from stentor.executions.recovery import recover
from stentor.failpoints import failpoint

log = structlog.get_logger(__name__)

EPOCH_LEAP = 1_000_000
"""More often than any chunk is claimed, and of 2,147 restored copies of copies the last one can still count."""

RUN_NUMBER_LEAP = 1_000_000
"""More run numbers than a brand gives out between a backup and the end of the installation that was copied."""


class Sql(QuerySet, file="fence.sql", package=__package__):
    lock_installation: Statement
    chunks_in_doubt: Statement
    end_leases: Statement
    end_roles: Statement
    end_sessions: Statement
    end_links: Statement
    end_notices: Statement
    disable_connectors: Statement
    end_letters: Statement
    end_invitations: Statement
    keep_revocations_anew: Statement
    pause_under_way: Statement
    pause_steps: Statement
    hold_steps: Statement
    ask_for_winners: Statement
    note_asking: Statement
    leap_run_numbers: Statement
    call_partners_told: Statement
    note_fence: Statement
    knows_all_erasures: Statement
    note_unread_erasures: Statement
    knows_all_revocations: Statement
    note_unread_revocations: Statement
    resume: Statement
    pause_overdue: Statement
    left_paused: Statement


class Copy(msgspec.Struct, frozen=True):
    """How the installation stands, and how many executions a backup caught under way: paused, or somebody has to choose their winner."""

    installation: Installation
    executions_paused: int


async def fence(db: Database) -> Copy:
    """Sees to what the backup caught under way; does nothing where that is done, or where nothing was restored."""
    async with db.transaction() as conn:
        installation = await _locked(conn)
        if installation.paused_at is not None and installation.fenced_at is None:
            await _fence(conn)
        fenced = await _standing(conn)
        failpoint("fence.before_commit")
    failpoint("fence.after_commit")
    return fenced


async def resume(db: Database, *, without_erasures: bool = False, without_revocations: bool = False) -> Copy:
    """Lets a paused copy go. Whatever was under way stays paused, until each execution is resumed or cancelled.

    Raises Conflict when it is not paused, and while the logs of erasures and of revocations were not read into it: people may
    be back who were erased, and keys that were revoked. `without_erasures`, `without_revocations`: somebody answers for that.
    """
    async with db.transaction() as conn:
        installation = await _locked(conn)
        if installation.paused_at is None:
            raise Conflict("This installation is not paused. Only a restored copy is, until it is let go.")
        if not without_erasures and not await Sql.knows_all_erasures.value(conn):
            raise Conflict(
                "The log of erasures was not found, and people may be back here who were erased after the backup. Put the"
                " folder `erasures` of the old installation's lists into this one's, and resume again; or resume"
                " --without-erasures, when nobody was erased since, or you have erased them here again."
            )
        if not without_revocations and not await Sql.knows_all_revocations.value(conn):
            raise Conflict(
                "The log of revocations was not found, and keys may be back here that were revoked after the backup. Put the"
                " folder `revocations` of the old installation's lists into this one's, and resume again; or resume"
                " --without-revocations, when no key was revoked since, or you will revoke them here again at once."
            )
        await Sql.note_unread_erasures.run(conn)
        await Sql.note_unread_revocations.run(conn)
        if installation.fenced_at is None:
            await _fence(conn)
        await Sql.resume.run(conn)
        await Sql.pause_overdue.run(conn)
        resumed = await _standing(conn)
        failpoint("resume.before_commit")
    failpoint("resume.after_commit")
    return resumed


async def _locked(conn: Connection) -> Installation:
    return (await Sql.lock_installation.rows(conn, Installation))[0]


async def _standing(conn: Connection) -> Copy:
    return Copy(await _locked(conn), await Sql.left_paused.value(conn))


async def _fence(conn: Connection) -> None:
    chunks = await Sql.chunks_in_doubt.rows(conn, Chunk)
    for (brand_id, sender_id, channel), held in groupby(chunks, lambda one: (one.brand_id, one.sender_id, one.channel)):
        # Whatever their sender's policy is for doubt: it is not known here what became of them in the other installation.
        claim = Claim(brand_id, sender_id, ChannelKind(channel), Lane.BULK, list(held))
        await recover(conn, claim, resend=False, perhaps_accepted=True, jitter=random.Random())
    await Sql.end_leases.run(conn, leap=EPOCH_LEAP)
    await Sql.end_roles.run(conn)
    await Sql.end_notices.run(conn)
    await Sql.disable_connectors.run(conn)
    await _end_sign_ins(conn)
    paused = await Sql.pause_under_way.run(conn)
    await Sql.pause_steps.run(conn)
    await Sql.hold_steps.run(conn)
    await Sql.ask_for_winners.run(conn)
    await Sql.leap_run_numbers.run(conn, leap=RUN_NUMBER_LEAP)
    await Sql.call_partners_told.run(conn)
    await Sql.note_asking.run(conn)
    await Sql.note_fence.run(conn)
    log.info("copy.fenced", chunks_in_doubt=len(chunks), executions_paused=paused)


async def _end_sign_ins(conn: Connection) -> None:
    """Who had signed in, or held a link, when the backup was taken begins anew: it is not known here who was let go since."""
    await Sql.end_sessions.run(conn)
    await Sql.end_links.run(conn)
    await Sql.end_letters.run(conn)
    for invitation_id, organisation_id, brand_id, email, role in await Sql.end_invitations.tuples(conn):
        told = {"email": email, "role": role}
        await record(
            conn,
            "invitation.withdrawn",
            invitation_id,
            brand_id=brand_id,
            organisation_id=organisation_id,
            before=told,
        )
    # This copy's own log shall have all of them, also where it is not the one that they were kept in.
    await Sql.keep_revocations_anew.run(conn)
