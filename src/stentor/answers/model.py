"""Answers that are kept under an idempotency key, to be given again byte for byte."""

from collections.abc import Callable, Mapping
from typing import TypeAlias
from uuid import UUID

import msgspec

KeyOfBrand: TypeAlias = tuple[UUID, str]
"""An idempotency key and the brand that it was given for."""


class Answer(msgspec.Struct, frozen=True):
    """A response as the caller gets it."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Idempotency(msgspec.Struct, frozen=True):
    """The caller's wish to be answered once: equal requests under one key are one execution and one answer.

    `request_hash` (32 bytes) tells equal requests from others; `answer_of` says what the caller is answered for an
    execution's id, and whether it is that of an earlier call about the same event. It is stored in the transaction that
    stores the execution.
    """

    key: str
    request_hash: bytes
    answer_of: Callable[[UUID, bool], Answer]


class StoredAnswer(msgspec.Struct, frozen=True):
    """What an idempotency key was used for."""

    brand_id: UUID
    key: str
    request_hash: bytes
    status: int
    headers: dict[str, str]
    body: bytes

    @classmethod
    def of(cls, brand_id: UUID, idempotency: Idempotency, answer: Answer) -> "StoredAnswer":
        """The answer under the key that its caller gave."""
        return cls(
            brand_id, idempotency.key, idempotency.request_hash, answer.status, dict(answer.headers), answer.body
        )
