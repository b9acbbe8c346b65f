"""Partner channels: made with the sender that stands for them, listed, renamed, deleted."""

from uuid import UUID

from stentor.accounts.audit import record
from stentor.channels import store as senders
from stentor.channels.partners import store
from stentor.channels.partners.model import (
    CHANNELS_EVER_MAX,
    CHANNELS_MAX,
    NAME_CHARS_MAX,
    PartnerChannel,
    checked_number,
)
from stentor.channels.partners.store import FormerChannel
from stentor.db.connection import Connection
from stentor.db.names import name_free, name_taken
from stentor.db.pool import Database
from stentor.db.quotas import check_quota
from stentor.domain.ids import new_id
from stentor.domain.text import checked_name
from stentor.domain.vocabulary import ChannelKind
from stentor.errors import Conflict, NotFound

PAGE_MAX = 200


async def find_channel(conn: Connection, brand_id: UUID, number: int) -> PartnerChannel | None:
    """The partner channel of that number; None where it was deleted or never was."""
    return await store.channel_by_number(conn, brand_id, number)


async def channel_of_sender(conn: Connection, brand_id: UUID, sender_id: UUID) -> PartnerChannel | None:
    """The partner channel that a listener sender stands for, also when it was deleted meanwhile."""
    return await store.channel_by_sender(conn, brand_id, sender_id)


class PartnerChannelService:
    """What the doors call about partner channels. Raises NotFound for one that is not this brand's."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def create(
        self, brand_id: UUID, name: str, channel: ChannelKind, *, number: int | None = None
    ) -> PartnerChannel:
        """Makes a channel of that number, or else of the next free one from 501 on, and its listener sender.

        A number that was deleted comes back with the sender that it had. Raises Invalid, QuotaExceeded, and Conflict for a
        number in use, or one that was another kind of channel.
        """
        name = checked_name(name, NAME_CHARS_MAX)
        if number is not None:
            checked_number("/number", number, "A channel's number")
        async with self._db.transaction() as conn:
            await check_quota(conn, brand_id, "partner channels", CHANNELS_MAX, store.count_channels)
            chosen = await store.next_number(conn, brand_id) if number is None else number
            former = await store.former_channel(conn, brand_id, chosen)
            if former is None:
                await check_quota(
                    conn,
                    brand_id,
                    "numbers of partner channels, deleted ones too",
                    CHANNELS_EVER_MAX,
                    store.count_numbers,
                    remedy="Make the channel under a number that was deleted.",
                )
                sender_id = await _made_sender(conn, brand_id, chosen, channel)
            else:
                sender_id = await _restored_sender(conn, brand_id, former, channel)
            await store.insert_channel(conn, brand_id, chosen, name=name, channel=channel, sender_id=sender_id)
            made = await _found(conn, brand_id, chosen)
            await record(conn, "partner_channel.created", chosen, brand_id=brand_id, after=made)
        return made

    async def get(self, brand_id: UUID, number: int) -> PartnerChannel:
        async with self._db.read() as conn:
            return await _found(conn, brand_id, number)

    async def page(self, brand_id: UUID, *, after: int = 0, limit: int = PAGE_MAX) -> list[PartnerChannel]:
        """At most `limit` (and 200) channels in the order of their numbers, from behind `after`."""
        async with self._db.read() as conn:
            return await store.channels_of_brand(conn, brand_id, after=after, limit=min(limit, PAGE_MAX))

    async def rename(self, brand_id: UUID, number: int, name: str) -> PartnerChannel:
        """The channel under another name; its number stays. Raises Invalid."""
        name = checked_name(name, NAME_CHARS_MAX)
        async with self._db.transaction() as conn:
            before = await lock_channel(conn, brand_id, number)
            await store.rename_channel(conn, brand_id, number, name)
            after = await _found(conn, brand_id, number)
            await record(conn, "partner_channel.updated", number, brand_id=brand_id, before=before, after=after)
            return after

    async def delete(self, brand_id: UUID, number: int) -> None:
        """Takes the channel away, with its templates and apps, from all clients.

        What was published for it and not pulled ends with its execution's deadline, or when that is cancelled.
        """
        async with self._db.transaction() as conn:
            before = await lock_channel(conn, brand_id, number)
            await senders.delete_sender(conn, brand_id, before.sender_id)
            await store.delete_channel(conn, brand_id, number)
            await record(conn, "partner_channel.deleted", number, brand_id=brand_id, before=before)


async def lock_channel(conn: Connection, brand_id: UUID, number: int) -> PartnerChannel:
    """The channel, locked until the transaction ends. Raises NotFound."""
    locked = await store.lock_channels(conn, brand_id, [number])
    if not locked:
        raise missing_channel(number)
    return locked[0]


def missing_channel(number: int) -> NotFound:
    """The refusal of a channel that there is not."""
    return NotFound(f"This brand has no partner channel {number}.")


async def _found(conn: Connection, brand_id: UUID, number: int) -> PartnerChannel:
    found = await store.channel_by_number(conn, brand_id, number)
    if found is None:
        raise missing_channel(number)
    return found


async def _made_sender(conn: Connection, brand_id: UUID, number: int, channel: ChannelKind) -> UUID:
    sender_id, name = new_id(), _sender_name(number)
    made = await senders.insert_sender(
        conn,
        brand_id,
        sender_id,
        name=name,
        channel=channel,
        kind="listener",
        settings={},
        secret=None,
        enabled=True,
        in_doubt=None,
        pace_per_s=None,
    )
    if not made:
        raise name_taken("sender", name)
    return sender_id


async def _restored_sender(conn: Connection, brand_id: UUID, former: FormerChannel, channel: ChannelKind) -> UUID:
    if not former.is_deleted:
        raise Conflict(
            f"The number {former.number} is that of the partner channel {former.name!r}; choose another one, or none."
        )
    if former.channel is not channel:
        raise Conflict(
            f"The number {former.number} was a partner channel for {former.channel.label} and stays one; choose another number."
        )
    with name_free("sender", _sender_name(former.number)):
        await senders.restore_listener(conn, brand_id, former.sender_id)
    return former.sender_id


def _sender_name(number: int) -> str:
    return f"partner-channel-{number}"
