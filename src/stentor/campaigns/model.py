"""What campaigns, templates and event generators are, and the frozen form in which executions use them."""

from typing import Any, Literal
from uuid import UUID

import msgspec

Mode = Literal["all", "first"]
Lane = Literal["transactional", "alert", "bulk"]
LANE_NUMBERS: dict[str, int] = {"transactional": 0, "alert": 1, "bulk": 2}


class PublishedVariant(msgspec.Struct, frozen=True):
    """One language of a template as it is rendered: every part final (MJML expanded, CSS inlined, text derived)."""

    language: str
    parts: dict[str, str]


class PublishedRoute(msgspec.Struct, frozen=True):
    """One channel of a published campaign: which template version says it, and which sender carries it.

    `variants` is ordered; a send stores the index of its variant. The default language stands first.
    """

    channel: int
    sender_id: UUID
    template_id: UUID
    template_name: str
    template_version: int
    variants: tuple[PublishedVariant, ...]


class PublishedContent(msgspec.Struct, frozen=True):
    """A campaign frozen as it was checked: the column `publication.content`."""

    campaign_id: UUID
    campaign_name: str
    consent_basis: Literal["topic", "channel", "none"]
    mode: Mode
    lane: Lane
    routes: tuple[PublishedRoute, ...]
    bindings: dict[str, str]
    """What each bare `{{ name }}` was bound to: `context.name`, `customer.name` or `customer.attributes.name`."""
    context_schema: dict[str, Any] | None
    brand: dict[str, Any]
    """What templates read as `brand.x`: at least `name`."""
    policy: dict[str, Any]


class Publication(msgspec.Struct, frozen=True):
    """One row of `publication`, its content decoded."""

    id: UUID
    brand_id: UUID
    content: PublishedContent
