"""What somebody objected to holds for their addresses when they go: on the built-in list, by hashes."""

from collections.abc import Sequence
from typing import NamedTuple
from uuid import UUID

from stentor.db.connection import Connection
from stentor.domain.address import EMAIL_CHANNELS, PHONE_CHANNELS
from stentor.domain.vocabulary import ChannelKind
from stentor.optouts.model import Cause, OptOut
from stentor.optouts.service import add_to_builtin

# Why an address is suppressed when its channel is in that mask of `Objections`; the strongest reason last.
_CAUSES: tuple[Cause, ...] = ("unsubscribe", "bounce", "complaint")


class Objections(NamedTuple):
    """The digests of addresses that nobody has any more (32 hexadecimal digits), and the masks of who had them."""

    email_digest: str | None
    phone_digest: str | None
    refused_mask: int
    bounced_mask: int
    complained_mask: int


async def suppress_addresses(
    conn: Connection, brand_id: UUID, objections: Sequence[Objections], *, source: str
) -> None:
    """Enters the addresses that the person said no to, or the provider of them; `source` is for whoever asks why."""
    entries: dict[bytes, OptOut] = {}
    for one in objections:
        for digest, kind, channels in (
            (one.email_digest, ChannelKind.EMAIL, EMAIL_CHANNELS),
            (one.phone_digest, ChannelKind.SMS, PHONE_CHANNELS),
        ):
            for cause, mask in zip(_CAUSES, (one.refused_mask, one.bounced_mask, one.complained_mask), strict=True):
                if digest and mask & channels:
                    key = bytes.fromhex(digest)
                    entries[key] = OptOut(kind, key, cause, source=source)
    await add_to_builtin(conn, brand_id, list(entries.values()))
