"""Checks of what the service says became of a campaign."""

from collections.abc import Iterator

from stentor.cli.conformance.checks import Checks, NotTried, expect, unmet
from stentor.cli.conformance.service.book import Book
from stentor.cli.conformance.service.campaigns import Campaign
from stentor.cli.conformance.service.notices import CANCELLED

telling = Checks[Book]()

SENT, DROPPED = 0, 5

_INTERACTIONS = "integrations/updatecampaigninteractions"


def _main(book: Book) -> Campaign:
    if book.main is None or not book.pulls(book.main):
        raise NotTried("it fetched nobody")
    return book.main


def _misnamed(book: Book, channel: int, campaign: int, template: int) -> str:
    """Which of the three ids names nothing; empty for none."""
    if channel != book.target.channel:
        return f"ChannelID {channel}"
    known = book.campaigns.get(campaign)
    if known is None:
        return f"CampaignID {campaign}"
    return "" if template in known.templates else f"TemplateID {template} of campaign {campaign}"


@telling.check("F4.3.9", "it says in totals what became of a campaign, by the ids that it fetched")
async def says_totals(book: Book) -> None:
    campaign = _main(book)
    for one in book.totals:
        wrong = _misnamed(book, one.channel, one.campaign, one.template)
        expect(not wrong, "ids that the hub gave", wrong)
    if not any(one.campaign == campaign.number for one in book.totals):
        unmet("UpdateCampaignMetrics", f"none within {book.target.wait_s:g} s")


@telling.check("F4.3b.1", "it says how many were sent, for each template that somebody got")
async def says_sent(book: Book) -> None:
    campaign = _main(book)
    sent = book.sent(campaign, SENT)
    expect(sent.keys() == campaign.templates, f"MetricID {SENT} of templates {sorted(campaign.templates)}", sent)


@telling.check("F4.8.C13", "nobody is counted who did not get that template")
async def counts_right(book: Book) -> None:
    campaign = _main(book)
    sent, dropped = book.sent(campaign, SENT), book.sent(campaign, DROPPED)
    if not sent and not dropped:
        raise NotTried("it said no totals")
    for template in sorted(campaign.templates):
        counted, people = sent.get(template, 0) + dropped.get(template, 0), len(campaign.people_of(template))
        expect(counted <= people, f"at most {people} sent and dropped of template {template}", counted)


@telling.check("F4.3.10", "it says of people what happened to them, by the ids that it fetched")
async def says_of_people(book: Book) -> None:
    campaign = _main(book)
    for one in book.told:
        wrong = _misnamed(book, one.channel, one.campaign, one.template)
        expect(not wrong, "ids that the hub gave", wrong)
        strangers = set(one.people) - book.campaigns[one.campaign].people_of(one.template)
        expect(not strangers, f"CustomerIDs that got template {one.template}", sorted(strangers))
    if not any(one.campaign == campaign.number for one in book.told):
        unmet("UpdateCampaignInteractions", f"none within {book.target.wait_s:g} s")


@telling.check("F4.8.C7", "each of these calls has its day, and at most 10,000 people")
async def says_days(book: Book) -> None:
    calls = [call for call in book.calls if call.function == _INTERACTIONS and not call.trouble]
    if not calls:
        raise NotTried("it said nothing of people")
    wrong = [call.reason for call in calls if call.status == 400]
    expect(not wrong, "InteractionDate and CustomerIDs", wrong)


@telling.check("F4.8.C14", "nobody is sent what was cancelled before its time")
async def heeds_cancellation(book: Book) -> None:
    if book.doomed is None or not any(one.event == CANCELLED for one in book.notices):
        raise NotTried(f"nobody listens to event {CANCELLED}")
    sent = sum(book.sent(book.doomed, SENT).values())
    expect(not sent, "nobody", f"{sent} people of campaign {book.doomed.number}")


@telling.check("F4.8.C8", "of a campaign that the hub does not know, it says nothing")
async def says_nothing_of_unknown(book: Book) -> None:
    if not any(one.campaign == book.unknown for one in book.notices):
        raise NotTried("nobody listens to campaigns that are ready")
    said = list(_said_of(book, book.unknown))
    expect(not said, "nothing", said)


def _said_of(book: Book, campaign: int) -> Iterator[str]:
    yield from (f"metric {one.metric}" for one in book.totals if one.campaign == campaign)
    yield from (f"event {one.event}" for one in book.told if one.campaign == campaign)
