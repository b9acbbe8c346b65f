"""A call that runs a campaign, and what becomes of it."""

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias
from uuid import UUID

import msgspec

from stentor.domain.vocabulary import Lane

KeyOfBrand: TypeAlias = tuple[UUID, str]
"""An idempotency key and the brand that it was given for."""


class Answer(msgspec.Struct, frozen=True):
    """A response as the caller gets it, stored under an idempotency key to be given again byte for byte."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Idempotency(msgspec.Struct, frozen=True):
    """The caller's wish to be answered once: equal requests under one key are one execution and one answer.

    `request_hash` (32 bytes) tells equal requests from others; `answer_of` says what the caller is answered for an
    execution's id, which is stored in the transaction that stores the execution.
    """

    key: str
    request_hash: bytes
    answer_of: Callable[[UUID], Answer]


class RunCall(msgspec.Struct, frozen=True, kw_only=True):
    """One call of an event generator. `triggered_by` says who called, for people: `key 12`."""

    brand_id: UUID
    generator_id: str
    topic_key: str
    context: dict[str, Any]
    triggered_by: str
    is_test: bool = False
    idempotency: Idempotency | None = None


class Accepted(msgspec.Struct, frozen=True):
    """The call is on disk as a new execution, which is queued."""

    execution_id: UUID


class Replayed(msgspec.Struct, frozen=True):
    """An equal call was accepted before; this is what it was answered."""

    answer: Answer


RunOutcome: TypeAlias = Accepted | Replayed


class QueuedCall(msgspec.Struct, frozen=True):
    """A checked call as it is written: the columns of its execution, and the rate that its brand may run at."""

    id: UUID
    brand_id: UUID
    rate_per_s: int
    publication_id: UUID
    generator_id: str
    topic_key: str
    context: msgspec.Raw
    lane: Lane
    is_test: bool
    triggered_by: str


class StoredAnswer(msgspec.Struct, frozen=True):
    """What an idempotency key was used for; its status is 0 while another kind of call is being handled under it."""

    brand_id: UUID
    key: str
    request_hash: bytes
    status: int
    headers: dict[str, str]
    body: bytes
