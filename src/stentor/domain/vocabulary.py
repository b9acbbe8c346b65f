"""The words that rows, messages and reports share: channels, states of a send, and the reasons why not.

Numbers are what the database stores and never change their meaning; names are what the API shows.
"""

from collections.abc import Iterable
from enum import IntEnum, unique


@unique
class ChannelKind(IntEnum):
    """A way to reach a person. The number is stored, signed into send ids and used as a bit in channel masks."""

    EMAIL = 1
    SMS = 2
    PUSH = 3
    WEB_PUSH = 4
    VOICE = 5
    WHATSAPP = 6
    IN_APP = 7
    WEBHOOK = 8
    EXTERNAL = 9

    @property
    def bit(self) -> int:
        """This channel in a mask of channels: a customer's flags, a subscription's channels."""
        return 1 << self.value

    @property
    def label(self) -> str:
        """The name on the wire and on pages: `email`, `web_push`."""
        return self.name.lower()

    @classmethod
    def named(cls, label: str) -> "ChannelKind":
        """The channel of that name. Raises KeyError for a name that is none of `CHANNEL_LABELS`."""
        return _BY_LABEL[label]


_BY_LABEL = {kind.label: kind for kind in ChannelKind}
CHANNEL_LABELS: tuple[str, ...] = tuple(_BY_LABEL)


def channel_mask(kinds: Iterable[ChannelKind]) -> int:
    """The channels as one integer, bit `1 << number` each."""
    mask = 0
    for kind in kinds:
        mask |= kind.bit
    return mask


ALL_CHANNELS_MASK: int = channel_mask(ChannelKind)


def channels_in(mask: int) -> list[ChannelKind]:
    """The channels of a mask, in the order of their numbers."""
    return [kind for kind in ChannelKind if mask & kind.bit]


@unique
class SendState(IntEnum):
    """What became of one send; for each channel of an execution the six counts add up to its audience."""

    PENDING = 0
    HELD = 1
    HANDED_OVER = 2
    SKIPPED = 3
    FAILED = 4
    UNKNOWN = 5

    @property
    def label(self) -> str:
        return self.name.lower()


@unique
class Reason(IntEnum):
    """Why a send was skipped, held or failed. `NONE` is the absence of a reason, for sends that went out."""

    NONE = 0
    NOT_OPTED_IN = 1
    UNSUBSCRIBED = 2
    SUPPRESSED = 3
    BOUNCED_BEFORE = 4
    COMPLAINED = 5
    FREQUENCY_CAP = 6
    QUIET_HOURS_CANCELLED = 7
    DEADLINE = 8
    DUPLICATE_RECIPIENT = 9
    DUPLICATE_ADDRESS = 10
    NO_ADDRESS = 11
    INVALID_ADDRESS = 12
    NO_TIMEZONE = 13
    HOLDOUT = 14
    LOCALE_MISSING = 15
    TEMPLATE_ERROR = 16
    EMPTY_CONTENT = 17
    ABORT_BY_TEMPLATE = 18
    CHANNEL_DISABLED = 19
    SENDER_PAUSED = 20
    PROVIDER_REJECTED = 21
    RETRIES_EXHAUSTED = 22
    EXECUTION_CANCELLED = 23
    BRAND_LIMIT = 24
    OTHER_CHANNEL = 25
    REVOKED = 26
    QUIET_HOURS = 27
    IN_DOUBT = 28
    EXECUTION_PAUSED = 29
    NOT_CLEARED = 30
    ON_A_BREAK = 31

    @property
    def label(self) -> str:
        return "" if self is Reason.NONE else self.name.lower()


@unique
class Lane(IntEnum):
    """Who goes first: the smaller number."""

    TRANSACTIONAL = 0
    ALERT = 1
    BULK = 2

    @property
    def label(self) -> str:
        return self.name.lower()

    @classmethod
    def named(cls, label: str) -> "Lane":
        """The lane of that name. Raises KeyError for a name that is none."""
        return cls[label.upper()]


@unique
class ConsentBasis(IntEnum):
    """What entitles a campaign to write to somebody: a topic's subscription, a channel's flag, or (transactional) nothing more."""

    TOPIC = 1
    CHANNEL = 2
    NONE = 3

    @property
    def label(self) -> str:
        return self.name.lower()
