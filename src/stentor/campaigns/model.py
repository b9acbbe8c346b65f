"""What campaigns, templates and event generators are, and the frozen form in which executions use them."""

from collections import Counter
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

import msgspec

from stentor.audience.segments.expressions import Expression
from stentor.campaigns.experiments import Experiment
from stentor.campaigns.steps import PublishedStep, When
from stentor.domain.policy import CampaignPolicy, seconds_of
from stentor.domain.vocabulary import ChannelKind
from stentor.errors import Violation
from stentor.render.compiled import MailSender

Basis = Literal["topic", "channel", "none"]
Mode = Literal["all", "first"]
LaneName = Literal["transactional", "alert", "bulk"]
GeneratorType = Literal["api_triggered", "scheduled", "event"]
CampaignKind = Literal["api_triggered", "batch", "scheduled", "external"]
"""What runs a campaign: its event generators, or, of all kinds but the first, the campaign itself once it is published."""


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


class VersionSummary(msgspec.Struct, frozen=True):
    """One version of a template without its content; the default language stands first."""

    version: int
    languages: tuple[str, ...]
    created_at: datetime


class TemplateUse(msgspec.Struct, frozen=True):
    """A route by which a campaign says a template: the step (0 is the campaign's own routes) and the route's place there."""

    template_id: UUID
    campaign_id: UUID
    campaign_name: str
    step: int
    route: int


class GeneratorUse(msgspec.Struct, frozen=True):
    """An event generator that runs such a campaign."""

    id: str
    name: str
    campaign_id: UUID


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
    """One channel of a campaign: which template says it, which sender carries it (None: the channel's default sender).

    `when`: for whom, None for everybody; of several routes on a channel the first whose condition holds is meant for a person.
    `app`: the name of the app that a push or external route goes out by. `arm`: of the campaign's experiment, None for all of them.
    """

    channel: ChannelKind
    template_id: UUID
    sender_id: UUID | None = None
    when: Expression | None = None
    app: str | None = None
    arm: str | None = None


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """What follows, `wait` after the step before was handed over (`30m`, `2h`, `2d`), for whom `when` holds: everybody, if it is None."""

    wait: str
    routes: tuple[Route, ...]
    when: When | None = None
    mode: Mode = "all"

    @property
    def wait_s(self) -> int | None:
        """The wait in seconds; None where it says no duration."""
        return seconds_of(self.wait)


class CampaignDraft(msgspec.Struct, frozen=True, kw_only=True):
    """All of a campaign that can be edited. The routes' order counts in mode `first`; `steps` are those after these routes."""

    name: str
    consent_basis: Basis
    routes: tuple[Route, ...]
    kind: CampaignKind = "api_triggered"
    mode: Mode = "all"
    lane: LaneName = "bulk"
    policy: CampaignPolicy = CampaignPolicy()
    experiment: Experiment | None = None
    steps: tuple[Step, ...] = ()


class Campaign(CampaignDraft, frozen=True, kw_only=True):
    """A campaign as it is edited; what runs is a publication, of a generator or, by its kind, its own.

    `is_stale`: it was published itself, and publishing now would make another publication.
    """

    id: UUID
    publication_id: UUID | None = None
    published_at: datetime | None = None
    is_stale: bool = False
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


class CampaignPublished(msgspec.Struct, frozen=True):
    """What publishing a campaign itself made: the campaign as it is now, and what to know about it, as in PublishResult."""

    campaign: Campaign
    bindings: dict[str, str]
    warnings: tuple[Violation, ...]


class PublishedVariant(msgspec.Struct, frozen=True):
    """One language of a template as it is rendered: every part final (MJML expanded, CSS inlined, text derived)."""

    language: str
    parts: dict[str, str]


class PartnerContent(msgspec.Struct, frozen=True):
    """What an outside service sends: by its own ids, its template and, where it has several, its app."""

    channel_number: int
    template_number: int
    template_name: str
    app_id: str | None = None


class PublishedRoute(msgspec.Struct, frozen=True):
    """One channel of a published campaign: which template version says it, which sender carries it, for whom and by which app.

    `variants` is ordered; a send stores the index of its variant. The default language stands first. With a `partner` an outside
    service pulls whom it is for and makes the messages: `sender_id` is the partner channel's, and the one variant says in words
    what the service is to send, for the sandbox and for whoever looks.
    """

    channel: ChannelKind
    sender_id: UUID
    template_id: UUID
    template_name: str
    template_version: int
    variants: tuple[PublishedVariant, ...]
    when: Expression | None = None
    app: str | None = None
    arm: str | None = None
    partner: PartnerContent | None = None


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
    is_test_send: bool = False
    """Frozen for a test send: its links work and change nothing."""
    experiment: Experiment | None = None
    made_from: str = ""
    """Fingerprint of everything that was frozen: it differs from that of today's campaign once something was edited."""
    steps: tuple[PublishedStep, ...] = ()
    """What follows this one, in its order: each step is a publication of its own."""
    when: When | None = None
    """Of a step: who of those that waited for it takes it; None: everybody."""
    step: int = 0

    @property
    def needs_cast(self) -> bool:
        """Whether who gets what has to be decided person by person before it is planned, also for a topic."""
        return self.experiment is not None or any(route.when is not None for route in self.routes)

    @property
    def partner_channels(self) -> list[int]:
        """The numbers of the partner channels that it goes out by, each once; most campaigns have none."""
        return sorted({route.partner.channel_number for route in self.routes if route.partner is not None})

    @property
    def variant_bases(self) -> list[int]:
        """For each route, the number of its first language among those of all routes of its channel.

        A send stores one number for both, which route speaks to a person and in which language.
        """
        counted: Counter[ChannelKind] = Counter()
        bases: list[int] = []
        for route in self.routes:
            bases.append(counted[route.channel])
            counted[route.channel] += len(route.variants)
        return bases

    def wording(self, channel: ChannelKind, variant: int) -> tuple[PublishedRoute, PublishedVariant]:
        """The route and the language that a send of that channel and number has. Raises LookupError where there is none."""
        ordinal, variant = self.place(channel, variant)
        route = self.routes[ordinal]
        return route, route.variants[variant]

    def place(self, channel: ChannelKind, variant: int) -> tuple[int, int]:
        """Of a send of that channel and number, the place of its route, and of its language there. Raises LookupError."""
        for ordinal, route in enumerate(self.routes):
            if route.channel == channel:
                if variant < len(route.variants):
                    return ordinal, variant
                variant -= len(route.variants)
        raise LookupError(f"{self.campaign_name} says nothing on {channel.label} by that number.")


class Publication(msgspec.Struct, frozen=True):
    """One row of `publication`, its content decoded."""

    id: UUID
    brand_id: UUID
    content: PublishedContent
