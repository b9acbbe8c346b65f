"""What campaigns, templates and event generators are, and the frozen form in which executions use them."""

from datetime import datetime
from typing import Any, Literal
from uuid import UUID

import msgspec

from stentor.domain.policy import CampaignPolicy
from stentor.domain.vocabulary import ChannelKind
from stentor.errors import Violation
from stentor.render.compiled import MailSender

Basis = Literal["topic", "channel", "none"]
Mode = Literal["all", "first"]
LaneName = Literal["transactional", "alert", "bulk"]
GeneratorType = Literal["api_triggered", "scheduled", "event"]


class TemplateContent(msgspec.Struct, frozen=True):
    """What one version of a template says: by language (BCP 47), the channel's parts as Liquid source."""

    default_language: str
    variants: dict[str, dict[str, str]]


class Template(msgspec.Struct, frozen=True):
    """A template in its newest version."""

    id: UUID
    name: str
    channel: ChannelKind
    version: int
    content: TemplateContent
    created_at: datetime
    updated_at: datetime


class TemplateSummary(msgspec.Struct, frozen=True):
    """A template without its content, as lists show it; the default language stands first."""

    id: UUID
    name: str
    channel: ChannelKind
    version: int
    languages: tuple[str, ...]
    created_at: datetime
    updated_at: datetime


class TemplatePatch(msgspec.Struct, frozen=True, kw_only=True):
    """Changes to a template; what is None stays as it is."""

    name: str | None = None
    default_language: str | None = None
    variants: dict[str, dict[str, str]] | None = None

    def content_over(self, present: TemplateContent) -> TemplateContent:
        """The present content with what is changed in it."""
        return TemplateContent(
            present.default_language if self.default_language is None else self.default_language,
            present.variants if self.variants is None else self.variants,
        )


class Route(msgspec.Struct, frozen=True):
    """One channel of a campaign: which template says it, which sender carries it (None: the channel's default sender)."""

    channel: ChannelKind
    template_id: UUID
    sender_id: UUID | None = None


class CampaignDraft(msgspec.Struct, frozen=True, kw_only=True):
    """All of a campaign that can be edited. The routes' order counts in mode `first`."""

    name: str
    consent_basis: Basis
    routes: tuple[Route, ...]
    mode: Mode = "all"
    lane: LaneName = "bulk"
    policy: CampaignPolicy = CampaignPolicy()


class Campaign(CampaignDraft, frozen=True, kw_only=True):
    """A campaign as it is edited; what runs is the publication of a generator."""

    id: UUID
    created_at: datetime
    updated_at: datetime


class Deduplication(msgspec.Struct, frozen=True):
    """Which calls tell of the same event: those to one topic whose contexts have the same values in these fields.

    A field of an object within the context is written with dots, `match.id`. The window is counted from the first of them.
    """

    fields: tuple[str, ...]
    window_s: int


class GeneratorDraft(msgspec.Struct, frozen=True, kw_only=True):
    """All of an event generator that can be edited. Without a schema any context is taken, and fields may be blank."""

    name: str
    campaign_id: UUID
    context_schema: dict[str, Any] | None = None
    deduplication: Deduplication | None = None


class Generator(GeneratorDraft, frozen=True, kw_only=True):
    """An event generator as it is edited, and what it runs.

    `is_stale`: it runs a publication, and publishing now would make another one.
    """

    id: str
    type: GeneratorType
    publication_id: UUID | None
    published_at: datetime | None
    is_stale: bool
    created_at: datetime
    updated_at: datetime


class PublishResult(msgspec.Struct, frozen=True):
    """What publishing made: the generator as it is now, and what to know about it.

    `bindings` says what each bare name means; `warnings` name what may come out blank for some people.
    """

    generator: Generator
    bindings: dict[str, str]
    warnings: tuple[Violation, ...]


class PublishedVariant(msgspec.Struct, frozen=True):
    """One language of a template as it is rendered: every part final (MJML expanded, CSS inlined, text derived)."""

    language: str
    parts: dict[str, str]


class PublishedRoute(msgspec.Struct, frozen=True):
    """One channel of a published campaign: which template version says it, and which sender carries it.

    `variants` is ordered; a send stores the index of its variant. The default language stands first.
    """

    channel: ChannelKind
    sender_id: UUID
    template_id: UUID
    template_name: str
    template_version: int
    variants: tuple[PublishedVariant, ...]


class PublishedContent(msgspec.Struct, frozen=True):
    """A campaign frozen as it was checked: the column `publication.content`."""

    campaign_id: UUID
    campaign_name: str
    consent_basis: Basis
    mode: Mode
    lane: LaneName
    routes: tuple[PublishedRoute, ...]
    bindings: dict[str, str]
    """What each bare `{{ name }}` was bound to: `context.name`, `customer.name` or `customer.attributes.name`."""
    context_schema: dict[str, Any] | None
    brand: dict[str, Any]
    """What templates read as `brand.x`: at least `name`."""
    policy: CampaignPolicy
    mail_sender: MailSender | None = None
    """In whose name e-mails go out; None where no route is one."""
    deduplication: Deduplication | None = None
    made_from: str = ""
    """Fingerprint of everything that was frozen: it differs from that of today's campaign once something was edited."""


class Publication(msgspec.Struct, frozen=True):
    """One row of `publication`, its content decoded."""

    id: UUID
    brand_id: UUID
    content: PublishedContent
