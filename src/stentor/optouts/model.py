"""What an opt-out says."""

from datetime import datetime
from typing import Literal

import msgspec

from stentor.domain.vocabulary import ChannelKind

Cause = Literal["unsubscribe", "stop", "bounce", "complaint", "api", "import"]


def listed_as(channel: ChannelKind) -> ChannelKind:
    """What an address of this channel is on a list: EMAIL for an e-mail address, SMS for any phone number."""
    return ChannelKind.EMAIL if channel is ChannelKind.EMAIL else ChannelKind.SMS


class OptOut(msgspec.Struct, frozen=True):
    """An address that must not be written to, by its digest (`stentor.domain.address`), and how that came to be known.

    `channel` says what the digest is of: EMAIL for an e-mail address, SMS for a phone number. `source` is free text for
    the person who asks why: an execution's id, the name of a file.
    """

    channel: ChannelKind
    digest: bytes
    cause: Cause
    source: str = ""


class Entry(msgspec.Struct, frozen=True):
    """An address on a list: since when and why, and when that was lifted, if it was."""

    list: str
    cause: Cause
    at: datetime
    source: str
    lifted_at: datetime | None

    def holds_at(self, instant: datetime) -> bool:
        """Whether the address was on the list at that moment."""
        return self.at <= instant and (self.lifted_at is None or instant < self.lifted_at)
