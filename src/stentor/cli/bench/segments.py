"""A segment of three conditions: how long it takes to count, and how many of its people are planned per second."""

import statistics
import time
from uuid import UUID

from stentor.audience.segments.expressions import AllOf, AtLeast, Attribute, In, Tagged
from stentor.campaigns.model import CampaignDraft, Route, TemplateContent
from stentor.cli.bench.club import Club
from stentor.cli.bench.executions import until_over, until_published
from stentor.cli.bench.result import Measure, per_s, seconds
from stentor.cli.output import fail
from stentor.cli.premises import Premises
from stentor.domain.vocabulary import ChannelKind
from stentor.executions.audiences import OfSegment
from stentor.triggers.campaign_runs import CampaignRun

_COUNTS = 5
_RUNS = 3
_MAIL = {"subject": "Your points", "html": "<p>You have {{ points | default: 0 }} points.</p>", "text": "Your points"}


async def measure_segments(premises: Premises, club: Club, tag_id: UUID) -> dict[str, Measure]:
    """Both measures are medians, after a first that pays for connections and for what the disk has to be asked.

    About six in ten of those who have the tag are in it. Planning is measured from the run's acceptance until everybody is
    planned, the cast included, with two workers, and while the sender is paused, so nothing else.
    """
    services, brand_id = premises.services, club.brand.id
    conditions = (
        Attribute(name="tier", test=In(values=("silver", "gold"))),
        Attribute(name="points", test=AtLeast(value=500)),
        Tagged(tag_id=tag_id),
    )
    segment = await services.segments.create(brand_id, "Members with points", AllOf(conditions=conditions))
    count_s = statistics.median([await _count_s(premises, brand_id, segment.id) for _ in range(_COUNTS + 1)][1:])
    await services.senders.pause(brand_id, club.sender.id)
    campaign_id = await _published(premises, club)
    async with premises.running(workers=2):
        rates = [await _planned_per_s(premises, club, campaign_id, segment.id) for _ in range(_RUNS + 1)][1:]
    return {"segment_count_s": seconds(count_s), "segment_plan_per_s": per_s(statistics.median(rates))}


async def _count_s(premises: Premises, brand_id: UUID, segment_id: UUID) -> float:
    started_s = time.perf_counter()
    count = await premises.services.segments.count_of(brand_id, segment_id)
    took_s = time.perf_counter() - started_s
    if count.people == 0 or (count.people is None and count.estimate is None):
        fail("Nobody was found in the segment. This is a defect; please report it.")
    # An estimate is given after five seconds of counting, so its time tells that it was too slow.
    return took_s


async def _published(premises: Premises, club: Club) -> UUID:
    # Of a mail that asks no context, as nobody calls this campaign; none is rendered.
    content = TemplateContent("en", {"en": _MAIL})
    template = await premises.services.templates.create(
        club.brand.id, name="To a segment", channel=ChannelKind.EMAIL, content=content
    )
    route = Route(channel=ChannelKind.EMAIL, template_id=template.id, sender_id=club.sender.id)
    draft = CampaignDraft(name="To a segment", kind="batch", consent_basis="channel", routes=(route,))
    campaign = await premises.services.campaigns.create(club.brand.id, draft)
    await premises.services.campaigns.publish(club.brand.id, campaign.id)
    return campaign.id


async def _planned_per_s(premises: Premises, club: Club, campaign_id: UUID, segment_id: UUID) -> float:
    run = CampaignRun(
        brand_id=club.brand.id,
        campaign_id=campaign_id,
        audience=OfSegment(segment_id),
        triggered_by="the bench",
    )
    execution_id = await premises.services.campaign_runs.start(run)
    took = await until_published(premises, club, execution_id)
    found = await premises.services.executions.find(club.brand.id, execution_id)
    await premises.services.executions.cancel(club.brand.id, execution_id)
    # To skip all its messages takes the workers as long as planning them did: the next run must not be measured beside that.
    await until_over(premises, club, execution_id)
    return (found.audience_size or 0) / took.total_seconds()
