"""Senders: making, changing, pausing them, and which one a channel goes by when nobody chose."""

from typing import Any
from uuid import UUID

import msgspec
from msgspec import UNSET

from stentor.accounts.audit import record
from stentor.channels import store
from stentor.channels.kinds import checked_settings
from stentor.channels.model import (
    NAME_CHARS_MAX,
    PACE_PER_S_MAX,
    PACE_PER_S_MIN,
    SECRET_CHARS_MAX,
    NewSender,
    Sender,
    SenderPatch,
)
from stentor.channels.public_address import Reach
from stentor.channels.secrets import SecretBox
from stentor.db.connection import Connection
from stentor.db.names import name_free, name_taken
from stentor.db.pool import Database
from stentor.db.quotas import check_quota
from stentor.domain.ids import new_id
from stentor.domain.vocabulary import ChannelKind
from stentor.errors import Conflict, Forbidden, Invalid, NotFound, Violation
from stentor.failpoints import failpoint

PAGE_MAX = 200
SENDERS_MAX = 500


async def ensure_sandbox(conn: Connection, brand_id: UUID) -> None:
    """Gives the brand its sandbox senders, one per channel; part of making a brand. Does nothing where they are there."""
    kinds = list(ChannelKind)
    await store.insert_sandboxes(
        conn,
        brand_id,
        ids=[new_id() for _ in kinds],
        names=[_sandbox_name(channel) for channel in kinds],
        channels=kinds,
    )


async def default_sender(conn: Connection, brand_id: UUID, channel: ChannelKind) -> Sender:
    """The newest sender to real people that is switched on, paused or not; else the sandbox."""
    sender = await store.default_sender(conn, brand_id, channel)
    return sender or await sandbox_sender(conn, brand_id, channel)


async def find_sender(conn: Connection, brand_id: UUID, sender_id: UUID) -> Sender | None:
    """The sender; None for one that was deleted, or is not this brand's."""
    return await store.sender_by_id(conn, brand_id, sender_id)


async def sandbox_sender(conn: Connection, brand_id: UUID, channel: ChannelKind) -> Sender:
    """The sandbox that the channel got with the brand: where test keys always lead."""
    sender = await store.sender_by_name(conn, brand_id, _sandbox_name(channel))
    if sender is None or sender.reaches_people:
        raise NotFound(f"The brand has no sandbox sender for {channel.label}. Make the brand anew, or check its id.")
    return sender


class SenderService:
    """What the doors call about senders. Raises NotFound for a sender that is not this brand's."""

    def __init__(self, db: Database, secrets: SecretBox, reach: Reach) -> None:
        self._db = db
        self._secrets = secrets
        self._reach = reach

    async def create(self, brand_id: UUID, new: NewSender) -> Sender:
        """Makes a sender. Raises Invalid, Conflict for a name in use, QuotaExceeded, NotReachable (see `Reach`)."""
        _check_fields(new.name, new.secret, new.pace_per_s)
        if new.kind == "listener":
            text = "A listener comes with its partner channel: make that, with `stentor hub channels create` or in the console."
            raise Invalid.field("/kind", "listener", text)
        settings = checked_settings(new.kind, new.channel, new.settings, new.secret)
        if new.enabled:
            self._reach.check(new.kind, settings)
        sender_id = new_id()
        async with self._db.transaction() as conn:
            await check_quota(conn, brand_id, "senders", SENDERS_MAX, store.count_senders)
            made = await store.insert_sender(
                conn,
                brand_id,
                sender_id,
                name=new.name,
                channel=new.channel,
                kind=new.kind,
                settings=settings,
                secret=self._sealed(sender_id, new.secret),
                enabled=new.enabled,
                in_doubt=new.in_doubt,
                pace_per_s=new.pace_per_s,
            )
            if not made:
                raise name_taken("sender", new.name)
            sender = await _found(conn, brand_id, sender_id)
            await record(conn, "sender.created", sender_id, brand_id=brand_id, after=sender)
            return sender

    async def get(self, brand_id: UUID, sender_id: UUID) -> Sender:
        async with self._db.read() as conn:
            return await _found(conn, brand_id, sender_id)

    async def page(self, brand_id: UUID, *, after: UUID | None = None, limit: int = PAGE_MAX) -> list[Sender]:
        """At most `limit` (and 200) senders in the order of their making, from behind the id `after`."""
        async with self._db.read() as conn:
            return await store.senders_of_brand(conn, brand_id, after=after, limit=min(limit, PAGE_MAX))

    async def update(self, brand_id: UUID, sender_id: UUID, patch: SenderPatch, *, is_test: bool = False) -> Sender:
        """Changes what is given. What is switched on again is no longer paused.

        Raises as `create` does, Conflict for another name of a channel's own sandbox and for a partner channel's sender, and
        Forbidden where a test (`is_test`) would change a sender that reaches people.
        """
        async with self._db.transaction() as conn:
            sender = await store.lock_sender(conn, brand_id, sender_id)
            if sender is None:
                raise _missing(sender_id)
            _check_is_for(sender, is_test=is_test)
            _check_stands_alone(sender)
            name = sender.name if patch.name is UNSET else patch.name
            if name != sender.name and _came_with_the_brand(sender):
                raise Conflict(f"{sender.name} came with the brand, and test keys find it by its name. Leave the name.")
            sealed = await store.sealed_secret(conn, brand_id, sender_id)
            held_secret = self._secrets.open(sender_id, sealed) if sealed else ""
            secret = held_secret if patch.secret is UNSET else patch.secret
            pace_per_s = sender.pace_per_s if patch.pace_per_s is UNSET else patch.pace_per_s
            _check_fields(name, secret, pace_per_s)
            given = sender.settings if patch.settings is UNSET else patch.settings
            settings = checked_settings(sender.kind, sender.channel, given, secret)
            enabled = sender.enabled if patch.enabled is UNSET else patch.enabled
            if enabled:
                self._reach.check(sender.kind, settings)
            with name_free("sender", name):
                await store.update_sender(
                    conn,
                    brand_id,
                    sender_id,
                    name=name,
                    settings=settings,
                    secret=self._sealed(sender_id, secret),
                    enabled=enabled,
                    in_doubt=sender.in_doubt if patch.in_doubt is UNSET else patch.in_doubt,
                    pace_per_s=pace_per_s,
                )
            changed = await _found(conn, brand_id, sender_id)
            await record(
                conn,
                "sender.updated",
                sender_id,
                brand_id=brand_id,
                before=sender,
                after=_with_secret(changed, is_new=secret != held_secret),
            )
            return changed

    async def pause(self, brand_id: UUID, sender_id: UUID) -> Sender:
        """Lets its messages wait from the next wave on. Does nothing when it is paused."""
        async with self._db.transaction() as conn:
            held = await store.lock_sender(conn, brand_id, sender_id)
            if held is None:
                raise _missing(sender_id)
            await store.pause_sender(conn, brand_id, sender_id)
            sender = await _found(conn, brand_id, sender_id)
            await record(conn, "sender.paused", sender_id, brand_id=brand_id, before=held, after=sender)
            failpoint("sender_pause.before_commit")
        failpoint("sender_pause.after_commit")
        return sender

    async def resume(self, brand_id: UUID, sender_id: UUID, *, is_test: bool = False) -> Sender:
        """Lets its messages go on.

        Raises Conflict when it is switched off, and Forbidden where a test (`is_test`) would resume one that reaches people.
        """
        async with self._db.transaction() as conn:
            sender = await store.lock_sender(conn, brand_id, sender_id)
            if sender is None:
                raise _missing(sender_id)
            _check_is_for(sender, is_test=is_test)
            if not sender.enabled:
                raise Conflict(f"The sender {sender.name} is switched off. Switch it on with `enabled: true`.")
            await store.resume_sender(conn, brand_id, sender_id)
            resumed = await _found(conn, brand_id, sender_id)
            await record(conn, "sender.resumed", sender_id, brand_id=brand_id, before=sender, after=resumed)
            failpoint("sender_resume.before_commit")
        failpoint("sender_resume.after_commit")
        return resumed

    async def delete(self, brand_id: UUID, sender_id: UUID) -> None:
        """Takes the sender away; what still waits for it is held.

        Raises Conflict for a channel's own sandbox, and for a partner channel's sender.
        """
        async with self._db.transaction() as conn:
            sender = await store.lock_sender(conn, brand_id, sender_id)
            if sender is None:
                raise _missing(sender_id)
            _check_stands_alone(sender)
            if _came_with_the_brand(sender):
                raise Conflict("The sandbox belongs to the brand: test keys lead there. It can be paused instead.")
            await store.delete_sender(conn, brand_id, sender_id)
            await record(conn, "sender.deleted", sender_id, brand_id=brand_id, before=sender)

    def _sealed(self, sender_id: UUID, secret: str) -> bytes | None:
        return self._secrets.seal(sender_id, secret) if secret else None


def _check_fields(name: str, secret: str, pace_per_s: float | None) -> None:
    broken = []
    if not 1 <= len(name) <= NAME_CHARS_MAX or not name.isprintable():
        broken.append(Violation("/name", "name", f"name must have 1 to {NAME_CHARS_MAX} printable characters."))
    if len(secret) > SECRET_CHARS_MAX or not secret.isprintable():
        broken.append(
            Violation("/secret", "secret", f"secret must have at most {SECRET_CHARS_MAX} printable characters.")
        )
    if pace_per_s is not None and not PACE_PER_S_MIN <= pace_per_s <= PACE_PER_S_MAX:
        broken.append(
            Violation("/pace_per_s", "range", f"pace_per_s must be from {PACE_PER_S_MIN:.5f} to {PACE_PER_S_MAX:.0f}.")
        )
    if broken:
        raise Invalid(broken[0].message, violations=broken)


async def _found(conn: Connection, brand_id: UUID, sender_id: UUID) -> Sender:
    sender = await store.sender_by_id(conn, brand_id, sender_id)
    if sender is None:
        raise _missing(sender_id)
    return sender


def _with_secret(sender: Sender, *, is_new: bool) -> dict[str, Any]:
    """The sender as the audit log tells of it: that another secret was given is a change, whichever it is."""
    told = msgspec.structs.asdict(sender)
    return {**told, "new_secret": True} if is_new else told


def _check_is_for(sender: Sender, *, is_test: bool) -> None:
    if is_test and sender.kind != "sandbox":
        raise Forbidden("A test key sends nothing to people: this sender reaches them. Use another key.")


def _check_stands_alone(sender: Sender) -> None:
    if sender.kind == "listener":
        raise Conflict(
            f"{sender.name} belongs to a partner channel: rename or delete that one. To let its people wait, pause the sender."
        )


def _missing(sender_id: UUID) -> NotFound:
    return NotFound(f"This brand has no sender {sender_id}.")


def _sandbox_name(channel: ChannelKind) -> str:
    return f"sandbox-{channel.label}"


def _came_with_the_brand(sender: Sender) -> bool:
    return sender.kind == "sandbox" and sender.name == _sandbox_name(sender.channel)
