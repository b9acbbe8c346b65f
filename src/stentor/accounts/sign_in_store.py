"""Sessions, sign-in links, attempts and second factors in the database."""

from collections.abc import Sequence
from datetime import datetime
from typing import Literal, TypeAlias
from uuid import UUID

from stentor.accounts.user_model import Method, Origin, Session, User
from stentor.db.connection import Connection
from stentor.db.sql import QuerySet, Statement

Stage: TypeAlias = Literal["first_factor", "whole"]

_SESSION_COLUMNS = 8


class Sql(QuerySet, file="sign_in.sql", package=__package__):
    insert_session: Statement
    find_session: Statement
    touch_session: Statement
    take_half_session: Statement
    rotate_session: Statement
    delete_session: Statement
    end_session: Statement
    end_sessions: Statement
    end_oldest_sessions: Statement
    sessions: Statement
    forget_sessions: Statement
    insert_link: Statement
    find_link: Statement
    use_link: Statement
    end_links: Statement
    forget_links: Statement
    take_attempt: Statement
    give_attempt_back: Statement
    forget_attempts: Statement
    find_factor: Statement
    find_begun_factor: Statement
    begin_factor: Statement
    confirm_factor: Statement
    use_step: Statement
    use_recovery: Statement
    count_recovery: Statement
    delete_factor: Statement


async def insert_session(
    conn: Connection,
    digest: bytes,
    session_id: UUID,
    *,
    user_id: UUID,
    stage: Stage,
    method: Method,
    origin: Origin,
    lasts_s: float,
) -> datetime:
    """Stores the session and returns when it ends."""
    return await Sql.insert_session.value(
        conn,
        digest=digest,
        id=session_id,
        user_id=user_id,
        stage=stage,
        method=method,
        ip=origin.ip,
        browser=origin.browser,
        lasts_s=lasts_s,
    )


async def find_session(conn: Connection, digest: bytes, idle_s: float) -> tuple[Stage, Session, User] | None:
    """The session of that cookie and whose it is, unless it ended or its user is disabled."""
    rows = await Sql.find_session.tuples(conn, digest=digest, idle_s=idle_s)
    if not rows:
        return None
    row = rows[0]
    return row[0], Session(*row[1:_SESSION_COLUMNS]), User(*row[_SESSION_COLUMNS:])


async def touch_session(conn: Connection, digest: bytes) -> None:
    """Notes that the session is used in this minute."""
    await Sql.touch_session.run(conn, digest=digest)


async def take_half_session(conn: Connection, digest: bytes, user_id: UUID) -> Method | None:
    """Ends the session of that user that waits for a second factor, and tells how it began; None where none waits."""
    return await Sql.take_half_session.value(conn, digest=digest, user_id=user_id)


async def rotate_session(conn: Connection, digest: bytes, fresh: bytes) -> tuple[UUID, datetime] | None:
    """Lets the session have another cookie; returns whose it is and when it ends, None when there is none."""
    rows = await Sql.rotate_session.tuples(conn, digest=digest, fresh=fresh)
    return (rows[0][0], rows[0][1]) if rows else None


async def delete_session(conn: Connection, digest: bytes) -> None:
    await Sql.delete_session.run(conn, digest=digest)


async def end_session(conn: Connection, user_id: UUID, session_id: UUID) -> bool:
    """Ends that session of that user; False when there is none."""
    return await Sql.end_session.run(conn, user_id=user_id, id=session_id) > 0


async def end_sessions(conn: Connection, user_id: UUID, *, kept: UUID | None = None) -> None:
    """Ends all sessions of the user, but the one that is kept."""
    await Sql.end_sessions.run(conn, user_id=user_id, kept=kept)


async def end_oldest_sessions(conn: Connection, user_id: UUID, stage: Stage, *, kept: int) -> None:
    """Leaves the user so many sessions of that stage, those that were used last."""
    await Sql.end_oldest_sessions.run(conn, user_id=user_id, stage=stage, kept=kept)


async def sessions(conn: Connection, user_id: UUID, idle_s: float) -> list[Session]:
    """The sessions of the user in which somebody is signed in, the last used first."""
    return await Sql.sessions.rows(conn, Session, user_id=user_id, idle_s=idle_s)


async def insert_link(conn: Connection, link_id: UUID, email_key: str, lasts_s: float, *, is_mailed: bool) -> bool:
    """Stores a link for whoever has that address and is not disabled; False when nobody has.

    `is_mailed`: it goes to the address and is shown to nobody.
    """
    inserted = await Sql.insert_link.run(conn, id=link_id, email_key=email_key, lasts_s=lasts_s, is_mailed=is_mailed)
    return inserted > 0


async def find_link(conn: Connection, link_id: UUID) -> User | None:
    """Whose link it is, while it can be used."""
    return await Sql.find_link.first(conn, User, id=link_id)


async def use_link(conn: Connection, link_id: UUID) -> bool | None:
    """Uses the link up and returns whether it was mailed; None when it cannot be used any more."""
    return await Sql.use_link.value(conn, id=link_id)


async def end_links(conn: Connection, user_id: UUID) -> None:
    """Lets no link of the user be used any more."""
    await Sql.end_links.run(conn, user_id=user_id)


async def take_attempt(conn: Connection, subject: bytes, *, burst: int, per_s: float) -> bool:
    """Takes a token of that bucket; False when there is none."""
    return await Sql.take_attempt.value(conn, subject=subject, burst=burst, per_s=per_s) is not None


async def give_attempt_back(conn: Connection, subject: bytes, *, burst: int) -> None:
    await Sql.give_attempt_back.run(conn, subject=subject, burst=burst)


async def find_factor(conn: Connection, user_id: UUID) -> tuple[bytes, bool] | None:
    """The sealed secret, and whether it is confirmed."""
    rows = await Sql.find_factor.tuples(conn, user_id=user_id)
    return (rows[0][0], rows[0][1]) if rows else None


async def find_begun_factor(conn: Connection, user_id: UUID, begun_in: UUID, lasts_s: float) -> bytes | None:
    """The sealed secret that waits to be confirmed in that session; None where none was begun there, or too long ago."""
    return await Sql.find_begun_factor.value(conn, user_id=user_id, begun_in=begun_in, lasts_s=lasts_s)


async def begin_factor(conn: Connection, user_id: UUID, sealed: bytes, begun_in: UUID) -> bool:
    """Stores a secret that is to be confirmed in that session; False when a confirmed one is there."""
    return await Sql.begin_factor.run(conn, user_id=user_id, sealed=sealed, begun_in=begun_in) > 0


async def confirm_factor(
    conn: Connection, user_id: UUID, sealed: bytes, begun_in: UUID, *, step: int, recovery: Sequence[bytes]
) -> bool:
    """Confirms that secret by the code of that step; False when it is not the one to confirm any more."""
    confirmed = await Sql.confirm_factor.run(
        conn, user_id=user_id, sealed=sealed, begun_in=begun_in, step=step, recovery=list(recovery)
    )
    return confirmed > 0


async def use_step(conn: Connection, user_id: UUID, step: int) -> bool:
    """Uses the code of that step up; False when it, or a later one, was used."""
    return await Sql.use_step.run(conn, user_id=user_id, step=step) > 0


async def use_recovery(conn: Connection, user_id: UUID, digest: bytes) -> bool:
    """Uses that recovery code up; False when the user has no such code."""
    return await Sql.use_recovery.run(conn, user_id=user_id, digest=digest) > 0


async def count_recovery(conn: Connection, user_id: UUID) -> int | None:
    """How many recovery codes are left; None without a confirmed second factor."""
    return await Sql.count_recovery.value(conn, user_id=user_id)


async def delete_factor(conn: Connection, user_id: UUID) -> bool:
    return await Sql.delete_factor.run(conn, user_id=user_id) > 0


async def forget_ended(conn: Connection, idle_s: float) -> int:
    """Clears away sessions and links that ended, and attempts that are forgiven."""
    ended = await Sql.forget_sessions.run(conn, idle_s=idle_s)
    return ended + await Sql.forget_links.run(conn) + await Sql.forget_attempts.run(conn)
