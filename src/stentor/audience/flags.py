"""Channel flags of many people at once, as somebody else tells them."""

from collections.abc import Sequence
from typing import Literal, TypeAlias, assert_never
from uuid import UUID

from stentor.audience import consent_store
from stentor.audience.consent import set_flags
from stentor.audience.customer_store import survivors_of
from stentor.audience.customers import id_of
from stentor.audience.model import Act, FlagChoice
from stentor.audience.upsert import Overtaken, until_settled
from stentor.db.connection import Connection
from stentor.db.pool import Database
from stentor.domain.vocabulary import ChannelKind
from stentor.errors import NotFound

Wish: TypeAlias = Literal["agree", "refuse", "unset"]


async def set_channel_flags(
    db: Database, brand_id: UUID, external_ids: Sequence[str], *, channel: ChannelKind, wish: Wish, act: Act
) -> None:
    """Sets one channel's flag of these people, some hundred at most; whoever is not known is left out.

    A flag that is "no" stays so: the person alone lifts it.
    """
    wanted = [found for each in external_ids if (found := _id(brand_id, each)) is not None]

    async def work(conn: Connection) -> None:
        known = await consent_store.lock_people(conn, brand_id, wanted)
        # Whoever is not there may have become somebody else.
        missing = [each for each in wanted if each not in known]
        if missing and (merged := await survivors_of(conn, brand_id, missing)):
            survivors = await consent_store.lock_people(conn, brand_id, sorted(set(merged.values())))
            if survivors.keys() != set(merged.values()):
                raise Overtaken
            known |= survivors
        choices = [
            _choice(person.customer_id, channel, wish)
            for person in known.values()
            if wish == "refuse" or not person.refused_mask & channel.bit
        ]
        await set_flags(conn, brand_id, choices, act)

    await until_settled(db, work)


def _choice(customer: UUID, channel: ChannelKind, wish: Wish) -> FlagChoice:
    match wish:
        case "agree":
            return FlagChoice(customer, agree=channel.bit)
        case "refuse":
            return FlagChoice(customer, refuse=channel.bit)
        case "unset":
            return FlagChoice(customer, unset=channel.bit)
        case _:
            assert_never(wish)


def _id(brand_id: UUID, external_id: str) -> UUID | None:
    try:
        return id_of(brand_id, external_id)
    except NotFound:
        return None
