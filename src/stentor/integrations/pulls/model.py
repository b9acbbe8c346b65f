"""Pulls: what a partner fetches, frozen once, and how far it has come with it."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Literal, TypeAlias
from uuid import UUID

import msgspec

from stentor.deliver.model import Chunk, Claim
from stentor.domain.vocabulary import ChannelKind, Lane, Reason
from stentor.executions.facts import ExecutionFacts

PAGE_DEFAULT = 10_000
"""Rows of a page of the classic API where `$top` says nothing."""
PAGE_ROWS_MAX = 10_000
"""Rows of a page or a lease of the native API. The classic one honours any `$top`."""
MOVED_ROWS_MAX = 50_000
"""Rows that one transaction hands over, a few tenths of a second; a page of more is noted as several."""
ATTRIBUTES_MAX = 200
"""Attributes that one page may have."""
LEASE_S_MIN = 10
LEASE_S_MAX = 3_600
"""How long rows can be leased for."""
WATCH = timedelta(days=7)
"""How long after somebody last fetched of a run its people are watched for revocations: as long as metrics are pushed."""
WATCH_SLACK = timedelta(days=1)
"""By how much that may be less, so that not every page writes it down."""
ROWS_OF_BRAND_MAX = 50_000_000
"""Rows of all lists of a brand that are there at once, some 7 GB; a list that is the only one may be longer."""
FREEZES_AT_ONCE = 2
"""Lists that one process freezes at a time, of different brands, each with three connections; others wait."""
FREEZES_WAITING_MAX = 20
"""Calls of one brand that wait for a list to be frozen, in one process."""


Shape: TypeAlias = Literal["send_details", "execution_details", "campaign_details"]
"""What a row says: as GetCustomerSendDetailsByChannel has it, GetCustomerExecutionDetailsByCampaign, or
GetCustomerSendDetailsByCampaign."""

NO_PULL = "There is no such pull, or its rows are gone: the same client froze the list anew."


def send_prefix(campaign: int, channel_number: int) -> str:
    """What stands before the template's number in a SendID, which names what a campaign sends by a channel with one template."""
    return f"{campaign}-{channel_number}-"


class Wording(msgspec.Struct, frozen=True):
    """How a page is written. `attributes` None: none were asked for; `delimiter`: they are one text, as before `/current`.

    `action_number`: the ActionID, where the shape has one.
    """

    shape: Shape = "send_details"
    attributes: tuple[str, ...] | None = None
    delimiter: str | None = None
    with_templates: bool = False
    action_number: int = 0


class Puller(msgspec.Struct, frozen=True):
    """Who fetches: a hub client, or an API key. `label` is what people call it."""

    id: UUID
    label: str


class PulledRun(msgspec.Struct, frozen=True):
    """What one execution sends by one partner channel.

    `templates`: of each number that a send on its channel may have for its route and language, the service's TemplateID. Sends
    with other numbers go out by another sender.
    """

    brand_id: UUID
    execution_id: UUID
    campaign: int
    channel_number: int
    channel: ChannelKind
    sender_id: UUID
    facts: ExecutionFacts
    templates: Mapping[int, int]
    template_names: Mapping[int, str]
    published_at: datetime

    @property
    def variants(self) -> list[int]:
        """The numbers of its sends, as statements take them."""
        return sorted(self.templates)

    @property
    def lane(self) -> Lane:
        return Lane.named(self.facts.publication.content.lane)

    def claim(self, chunks: list[Chunk]) -> Claim:
        """These chunks of it, as what guards and settles takes them."""
        return Claim(self.brand_id, self.sender_id, self.channel, self.lane, chunks)


class Pull(msgspec.Struct, frozen=True):
    """A list as it was frozen: `rows` rows, at the positions from 0 on. Before `leased_to` all were leased."""

    id: UUID
    brand_id: UUID
    execution_id: UUID
    campaign: int
    channel_number: int
    puller_id: UUID
    puller: str
    rows: int
    leased_to: int
    started_at: datetime
    frozen_at: datetime | None
    replaced_at: datetime | None
    revoked: int
    """People of its run who were revoked since the run was first pulled."""
    handed_over_rows: int
    """Rows of pages that were handed over; a row that was fetched twice counts twice."""


class PullPage(msgspec.Struct, frozen=True):
    """Rows of a pull that somebody fetched: those from one position to before another.

    `lease_until`: nobody else gets them until then. `handed_over` counts the sends that had not been handed over before.
    """

    id: UUID
    position_from: int
    position_to: int
    asked_by: str
    asked_at: datetime
    lease_until: datetime | None
    released_at: datetime | None
    handed_over_at: datetime | None
    handed_over: int


class PullRow(msgspec.Struct, frozen=True):
    """One person of a pull. `external_id` is None, and there are no attributes, of somebody who was erased since."""

    position: int
    customer_id: UUID
    external_id: str | None
    template: int
    scheduled_at: datetime
    attributes: list[str]


class Revocation(msgspec.Struct, frozen=True):
    """Somebody who was on a pull and has since said no, or cannot be written to any more.

    `external_id` is None of somebody who was erased: `customer_id`, which is made of the brand and the external id, says who.
    """

    number: int
    customer_id: UUID
    external_id: str | None
    reason: Reason
    at: datetime


class PullTrace(msgspec.Struct, frozen=True):
    """When somebody fetched one person, and by which page of which pull."""

    pull_id: UUID
    channel_number: int
    position: int
    puller: str
    frozen_at: datetime
    asked_at: datetime | None
    """None: they are on the list, and nobody has fetched that page."""
    handed_over_at: datetime | None
