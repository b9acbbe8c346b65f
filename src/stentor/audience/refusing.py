"""Whoever refuses channels: the flag "no" on each, and the addresses behind them on the brand's built-in list."""

from collections.abc import Collection
from uuid import UUID

from stentor.audience.consent import set_flags
from stentor.audience.consent_store import Person
from stentor.audience.customer_store import survivors_of
from stentor.audience.model import BY_THE_PERSON, Act, FlagChoice
from stentor.audience.upsert import Overtaken
from stentor.db.connection import Connection
from stentor.domain.address import EMAIL_CHANNELS, PHONE_CHANNELS
from stentor.domain.ids import part_of
from stentor.domain.vocabulary import ChannelKind
from stentor.optouts.model import Cause, OptOut, written_as_listed
from stentor.optouts.service import add_to_builtin


async def refuse(
    conn: Connection,
    brand_id: UUID,
    people: Collection[UUID],
    channels: int,
    act: Act,
    *,
    cause: Cause,
    campaign: str = "",
) -> set[UUID]:
    """These people refuse the channels (a mask); returns those who exist, as they are known now.

    Who was merged into somebody speaks of that one. `campaign` is the name of the one whose message led here. Raises Overtaken
    when somebody is merged between the look and the lock: an opt-out must not be lost between the two.
    """
    merged = await survivors_of(conn, brand_id, people)
    meant = sorted({merged.get(person, person) for person in people}, key=lambda person: (part_of(person), person))
    found = await set_flags(conn, brand_id, [FlagChoice(person, refuse=channels) for person in meant], act)
    missing = [person for person in meant if person not in found]
    if missing and await survivors_of(conn, brand_id, missing):
        raise Overtaken
    ip = str(act.ip) if act.ip is not None and act.source in BY_THE_PERSON else ""
    entries = [
        OptOut(kind, digest, cause, source=act.source, address=address, campaign=campaign, ip=ip if address else "")
        for person in found.values()
        for kind, digest, address in addresses_of(person, channels)
    ]
    await add_to_builtin(conn, brand_id, entries)
    return set(found)


def addresses_of(person: Person, channels: int) -> list[tuple[ChannelKind, bytes, str | None]]:
    """The addresses that these channels go to: their digests, and as lists write them where they are known."""
    return [
        (kind, digest, address and written_as_listed(address, kind))
        for kind, mask, digest, address in (
            (ChannelKind.EMAIL, EMAIL_CHANNELS, person.email_digest, person.email),
            (ChannelKind.SMS, PHONE_CHANNELS, person.phone_digest, person.phone),
        )
        if channels & mask and digest
    ]
