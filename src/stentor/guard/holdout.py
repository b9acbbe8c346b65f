"""Holdouts: people whom a campaign leaves out, always the same ones, so that its effect can be measured against them."""

import hashlib
from uuid import UUID

_RANGE = 1 << 32


def holdout_threshold(share: float) -> int:
    """The share as the planning statement takes it: of 2^32 hashes, how many are held out."""
    return round(share * _RANGE)


def is_held_out(campaign_id: UUID, customer_id: UUID, share: float) -> bool:
    """Whether the campaign leaves this person out. A larger share leaves out the same people, and more.

    The twin of `holdout_objection` in the database.
    """
    digest = hashlib.sha256(campaign_id.bytes + customer_id.bytes).digest()
    return int.from_bytes(digest[:4], "big") < holdout_threshold(share)
