"""Channels as the API names them: `email`, `sms` …; inside they are numbers and masks."""

from collections.abc import Iterable
from typing import Literal, TypeAlias, cast

from stentor.domain.vocabulary import ChannelKind, channel_mask, channels_in

ChannelName: TypeAlias = Literal[
    "email", "sms", "push", "web_push", "voice", "whatsapp", "in_app", "webhook", "external"
]


def name_of(kind: ChannelKind) -> ChannelName:
    """The channel's name."""
    return cast("ChannelName", kind.label)


def names_in(mask: int) -> list[ChannelName]:
    """The channels of a mask by name, in the order of their numbers."""
    return [name_of(kind) for kind in channels_in(mask)]


def mask_of(names: Iterable[ChannelName]) -> int:
    """The mask of these channels."""
    return channel_mask([ChannelKind.named(name) for name in names])
