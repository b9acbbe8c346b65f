"""What the messages of one execution and language have in common, and what is left of each: its own texts."""

import functools
import hashlib
from collections.abc import Callable, Sequence
from typing import TypeAlias

import msgspec

Headline: TypeAlias = Callable[[Sequence[str]], str]
"""Reads a message's headline from its texts: an e-mail's subject, a notification's title."""


class Skeleton:
    """The constant segments of messages: a message is a segment, a text, a segment, a text … and a segment."""

    def __init__(self, segments: Sequence[str]) -> None:
        self.segments = tuple(segments)
        self.chars = sum(map(len, self.segments))
        self._blank = [""] * (2 * len(self.segments) - 1)
        self._blank[::2] = self.segments

    @functools.cached_property
    def id(self) -> bytes:
        """16 bytes made of the content: the same content has the same id everywhere and always."""
        return hashlib.blake2b(self.pack(), digest_size=16).digest()

    def assemble(self, texts: Sequence[str]) -> bytes:
        """The whole message, byte for byte as it was rendered. Raises ValueError for texts of another skeleton."""
        pieces = self._blank.copy()
        pieces[1::2] = texts
        return "".join(pieces).encode()

    def pack(self) -> bytes:
        """The skeleton as it is stored; `unpack` reads it."""
        return msgspec.msgpack.encode(self.segments)

    @classmethod
    def unpack(cls, packed: bytes) -> "Skeleton":
        return cls(msgspec.msgpack.decode(packed, type=list[str]))


# It never holds itself, so the collector need not look at each of a wave's messages: 4 % of rendering.
class Rendered(msgspec.Struct, frozen=True, gc=False):
    """One person's message: what channels hand over, and what the sandbox keeps."""

    skeleton: Skeleton
    send_id: str
    address: str
    texts: list[str]
    headline: Headline

    @property
    def skeleton_id(self) -> bytes:
        return self.skeleton.id

    @property
    def subject(self) -> str:
        """What stands in a list of messages: an e-mail's subject, a notification's title, nothing for a text."""
        return self.headline(self.texts)

    @property
    def needs_smtputf8(self) -> bool:
        """Whether the address has a local part that only servers with SMTPUTF8 can take (its domain is in A-labels)."""
        return not self.address.isascii()

    def wire(self) -> bytes:
        """The whole message: RFC 5322 with CRLF line ends for email, text or JSON else."""
        return self.skeleton.assemble(self.texts)

    def skeleton_content(self) -> bytes:
        """What `reassemble` needs of the skeleton, the same for every message with its id."""
        return self.skeleton.pack()

    def parts(self) -> bytes:
        """What `reassemble` needs beside the skeleton's content."""
        return msgspec.msgpack.encode(self.texts)


def reassemble(skeleton_content: bytes, parts: bytes) -> bytes:
    """The bytes that `wire` gave, one for one."""
    return Skeleton.unpack(skeleton_content).assemble(msgspec.msgpack.decode(parts, type=list[str]))
