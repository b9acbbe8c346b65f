"""Checks of how the service fetches a list: all of it, each part once, and once whatever it is told."""

from stentor.cli.conformance.checks import Checks, NotTried, expect, unmet
from stentor.cli.conformance.service.book import DETAILS, Book, Page, is_whole
from stentor.cli.conformance.service.campaigns import Campaign

fetching = Checks[Book]()


def _main(book: Book) -> tuple[Campaign, list[Page]]:
    """The campaign, and its pages that were answered."""
    if book.main is None:
        raise NotTried("nobody listens to campaigns that are ready")
    return book.main, [page for page in book.pages if page.campaign == book.main.number]


def _fetched(book: Book) -> tuple[Campaign, list[Page]]:
    campaign, pages = _main(book)
    if not pages:
        raise NotTried("it fetched nobody")
    return campaign, pages


def _words(pull: list[Page]) -> str:
    return ", ".join(f"{page.rows} from {page.skip}" for page in pull)


@fetching.check("F4.3.8", "it asks who gets what and when, by the CampaignID of the notice and its ChannelID")
async def asks(book: Book) -> None:
    campaign, pages = _main(book)
    asked = [call.asked for call in book.calls if call.function == DETAILS]
    expect(bool(pages), f"GetCustomerSendDetailsByChannel of campaign {campaign.number}", asked or "none")


@fetching.check("F4.5.3", "it reads on until the list ends")
async def reads_to_the_end(book: Book) -> None:
    _, pages = _fetched(book)
    expect(any(page.is_end for page in pages), "a page with fewer rows than asked for", f"{pages[-1].rows} rows")


@fetching.check("F4.8.C11", "it has everybody once: each page begins where the one before ended")
async def has_everybody(book: Book) -> None:
    campaign, _ = _fetched(book)
    pulls = book.pulls(campaign)
    whole = any(is_whole(pull, len(campaign.rows)) for pull in pulls)
    expect(whole, f"all of {len(campaign.rows)} rows in turn", _words(pulls[-1]))


@fetching.check("F4.5.4", "also a list of several pages")
async def has_several_pages(book: Book) -> None:
    campaign, pages = _fetched(book)
    size = max(page.top for page in pages)
    if size >= len(campaign.rows):
        raise NotTried(f"its page of {size} has everybody; say --people {size + 1} or more")
    whole = [pull for pull in book.pulls(campaign) if is_whole(pull, len(campaign.rows))]
    expect(bool(whole), "pages in turn", _words(book.pulls(campaign)[-1]))


@fetching.check("F4.8.C9", "it asks for attributes that it may know, with ; between them")
async def asks_for_attributes(book: Book) -> None:
    _main(book)
    wrong = [call.reason for call in book.calls if "may not be asked for" in call.reason]
    expect(not wrong, "; ".join(book.target.attributes), wrong)
    if not any(page.attributes for page in book.pages):
        raise NotTried("it asked for none")


@fetching.check("F4.4.7", "it fetches a campaign once, however often it is notified")
async def fetches_once(book: Book) -> None:
    campaign, pages = _fetched(book)
    notices = [one for one in book.notices if one.campaign == campaign.number]
    before = pages[0]
    for page in pages[1:]:
        # Who was disturbed in the middle may begin anew.
        if page.skip == 0 and page.setbacks == before.setbacks:
            unmet(f"one reading for {len(notices)} notices", _words(pages))
        before = page
