"""What the sandbox is given, what it keeps, and the faults that it can be asked to play."""

from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Literal, Protocol, TypeAlias
from uuid import UUID

import msgspec
from msgspec import Meta

from stentor.channels.contract import Message
from stentor.domain.vocabulary import ChannelKind

RULES_MAX = 20
AFTER_S_MAX = 86_400.0
PATTERN_CHARS_MAX = 320
TEXT_CHARS_MAX = 200


class SandboxMessage(Message, Protocol):
    """A message as the sandbox keeps it: what all messages of its execution and language share, and its own parts."""

    @property
    def skeleton_id(self) -> bytes: ...

    @property
    def subject(self) -> str:
        """An e-mail's subject, a notification's title; empty on channels that have none."""
        ...

    def skeleton_content(self) -> bytes: ...

    def parts(self) -> bytes:
        """What `Reassemble` needs beside the skeleton's content."""
        ...


Reassemble: TypeAlias = Callable[[bytes, bytes], bytes]
"""From a skeleton's content and a message's parts to the bytes that `Message.wire` gave, one for one."""

Effect = Literal["refuse", "defer", "drop", "bounce", "complain", "delay", "open", "click", "reply", "answer"]


class ChaosRule(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A fault to play for a share of the messages to some recipients.

    On hand-over: `refuse` is a final no, `defer` a "not now", `drop` takes the message and loses the reply. Of what was
    accepted, `after_s` seconds later: `bounce`, `complain`, or `delay`: delivered, but only then; or what people do: `open`, `click`,
    `reply` or `answer` a question, with the words in `text`. At each of the two moments the first rule that hits decides; every rule rolls its own dice. In `recipients`, `*` stands for any text.
    """

    effect: Effect
    share: Annotated[float, Meta(gt=0, le=1)] = 1.0
    recipients: Annotated[str, Meta(min_length=1, max_length=PATTERN_CHARS_MAX)] = "*"
    after_s: Annotated[float, Meta(ge=0, le=AFTER_S_MAX)] = 0.0
    text: Annotated[str, Meta(max_length=TEXT_CHARS_MAX, description="What is replied or answered.")] = ""


class InboxPosition(msgspec.Struct, frozen=True, array_like=True):
    """A place in the list: behind the message of that id."""

    at: datetime
    id: str


class InboxEntry(msgspec.Struct, frozen=True):
    """A message as it stands in the list. `id` is that of its send; `at` is when it was accepted."""

    id: str
    execution_id: UUID
    channel: ChannelKind
    at: datetime
    recipient: str
    subject: str

    @property
    def position(self) -> InboxPosition:
        return InboxPosition(self.at, self.id)


class InboxPage(msgspec.Struct, frozen=True):
    """Newest first; `next` is where the next page begins, None on the last one."""

    entries: list[InboxEntry]
    next: InboxPosition | None


class StoredMessage(msgspec.Struct, frozen=True):
    """A message in full: its entry, and the bytes that its channel would have put on the wire."""

    entry: InboxEntry
    raw: bytes


class InboxLimits(msgspec.Struct, frozen=True):
    """How much of a brand's inbox is kept: the newest `messages_max`, none older than `days`."""

    messages_max: int = 200_000
    days: int = 7
