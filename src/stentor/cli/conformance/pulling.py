"""Checks of notifications, and of pulling who gets what and when."""

import re
from collections.abc import Callable
from typing import Any

from stentor.cli.conformance.checks import Checks, NotTried, expect
from stentor.cli.conformance.listener import QUERY, Heard
from stentor.cli.conformance.partner import Partner, Row

pulling = Checks[Partner]()

AS_ONE = 2_000_000
"""Rows that some clients ask for at once."""
USUAL_PAGE = 10_000
NOBODYS_CAMPAIGN = 2_000_000_000

_TIME = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d")
_STAMP = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d")
_SETTLE_S = 30.0
_DETAILS = "/current/customers/GetCustomerSendDetailsByChannel"


def _is_of(event: int) -> Callable[[Heard], bool]:
    def fits(heard: Heard) -> bool:
        return heard.fields().get("EventTypeID") == event

    return fits


def _noticed(partner: Partner, event: int) -> Heard:
    found = [one for one in partner.listener.heard if _is_of(event)(one)]
    if not found:
        raise NotTried(f"no notification of event {event} came")
    return found[0]


def _campaign(partner: Partner) -> int:
    if not partner.campaign:
        raise NotTried("no campaign came; publish one while the kit waits, or say --campaign")
    return partner.campaign


def _rows(partner: Partner) -> list[Row]:
    _campaign(partner)
    if not partner.rows:
        raise NotTried("nobody was pulled")
    return partner.rows


def _row(said: dict[str, Any]) -> Row:
    return Row(str(said["CustomerID"]), int(said["TemplateID"]), str(said["ScheduledTime"]))


@pulling.check("F4.4.7", "a campaign is notified to the listener of its channel")
async def notified(partner: Partner) -> None:
    if not partner.target.wait_s:
        raise NotTried("--wait is 0")
    heard = await partner.listener.until(_is_of(13), partner.target.wait_s)
    expect(heard is not None, "a notification of event 13", f"none in {partner.target.wait_s:g} s")
    if heard is not None and not partner.campaign:
        partner.campaign = int(str(heard.fields().get("CampaignID", 0)))


@pulling.check("F4.4.1", "and to the listener of all channels")
async def notified_too(partner: Partner) -> None:
    _noticed(partner, 13)
    heard = await partner.listener.until(_is_of(1), _SETTLE_S)
    expect(heard is not None, "a notification of event 1", f"none in {_SETTLE_S:g} s")


@pulling.check("F4.8.C1", "a notification is a POST of JSON with exactly the documented names")
async def notice_shape(partner: Partner) -> None:
    expected = {
        1: {"EventTypeID", "TimeStamp", "CampaignID"},
        13: {"EventTypeID", "TimeStamp", "CampaignID", "ChannelID"},
    }
    _noticed(partner, 13)
    for heard in partner.listener.heard:
        fields = heard.fields()
        event = fields.get("EventTypeID")
        expect(heard.method == "POST", "POST", heard.method)
        names = expected.get(event) if isinstance(event, int) else None
        expect(names == fields.keys(), f"the names of event {event}", sorted(fields))
        expect(_STAMP.fullmatch(str(fields["TimeStamp"])) is not None, "YYYY-MM-DD HH:MM", fields["TimeStamp"])


@pulling.check("F4.3.2", "the listener's query comes back as it was registered")
async def notice_query(partner: Partner) -> None:
    heard = _noticed(partner, 13)
    expect(heard.query == QUERY, QUERY, heard.query)


@pulling.check("F4.3.8", "GetCustomerSendDetailsByChannel answers who gets what and when, page by page")
async def pull_pages(partner: Partner) -> None:
    _campaign(partner)
    size, rows = partner.target.page, list[Row]()
    while True:
        page = [_row(one) for one in await partner.details({"$top": size, "$skip": len(rows)})]
        expect(len(page) <= size, f"at most {size} rows", len(page))
        rows += page
        if len(page) < size:
            break
    partner.rows = rows
    expect(bool(rows), "somebody", "nobody")
    wrong = next((row.scheduled for row in rows if not _TIME.fullmatch(row.scheduled)), None)
    expect(wrong is None, "ScheduledTime as YYYY-MM-DD HH:MM:SS", wrong)


@pulling.check("F4.8.C11", "rows come in the order of people's ids, each once")
async def ordered(partner: Partner) -> None:
    names = [row.customer for row in _rows(partner)]
    expect(len(set(names)) == len(names), f"{len(names)} people", f"{len(set(names))} of them different")
    again = sorted(names, key=lambda name: name.encode())
    expect(names == again, "sorted by CustomerID", next((a for a, b in zip(names, again, strict=True) if a != b), ""))


@pulling.check("F4.5.4", "a later page is the same when it is asked for again")
async def stable(partner: Partner) -> None:
    rows = _rows(partner)
    middle = len(rows) // 2
    if not middle:
        raise NotTried("one row has no second page")
    page = [_row(one) for one in await partner.details({"$top": 100, "$skip": middle})]
    expect(page == rows[middle : middle + 100], "the same rows", f"{len(page)} rows that differ")


@pulling.check("F4.5.3", "past the end is 200 and an empty array")
async def past_the_end(partner: Partner) -> None:
    page = await partner.details({"$top": 100, "$skip": len(_rows(partner))})
    expect(page == [], "[]", f"{len(page)} rows")


@pulling.check("F4.1.11", "paging comes percent-encoded and without its dollar sign")
async def encoded_paging(partner: Partner) -> None:
    rows = _rows(partner)
    named = f"ChannelID={partner.target.channel}&CampaignID={partner.campaign}"
    for query in (f"{named}&%24top=1&%24skip=1", f"{named}&top=1&skip=1"):
        answer = await partner.call(_DETAILS, query)
        expect(answer.status == 200, "200", answer)
        expect([_row(one) for one in answer.json()] == rows[1:2], "the second row", answer)


@pulling.check("F4.5.2", "a page of any size is answered as one")
async def pull_as_one(partner: Partner) -> None:
    rows = _rows(partner)
    page = [_row(one) for one in await partner.details({"$top": AS_ONE, "$skip": 0})]
    expect([row.customer for row in page] == [row.customer for row in rows], f"{len(rows)} rows", f"{len(page)} rows")


@pulling.check("F4.5.1", "a page without a size has at most 10,000 rows, and $skip may be left out")
async def usual_page(partner: Partner) -> None:
    rows = _rows(partner)
    page = await partner.details()
    expect(len(page) == min(len(rows), USUAL_PAGE), f"{min(len(rows), USUAL_PAGE)} rows", f"{len(page)} rows")


@pulling.check("F4.8.C9", "attributes come as an array in the order asked for, and only when asked for")
async def attributes(partner: Partner) -> None:
    _rows(partner)
    asked = partner.target.attributes
    if not asked:
        raise NotTried("it needs --attributes")
    plain = await partner.details({"$top": 1})
    expect("CustomerAttributes" not in plain[0], "no CustomerAttributes", plain[0])
    for name in ("CustomerAttributes", "CustomerAttribtues"):
        page = await partner.details({"$top": 10, name: ";".join(asked)})
        told = [one.get("CustomerAttributes") for one in page]
        fits = all(isinstance(one, list) and len(one) == len(asked) for one in told)
        expect(fits and bool(told), f"arrays of {len(asked)}", told[:1])
        expect(all(isinstance(value, str) for one in told for value in one or ()), "texts", told[:1])


@pulling.check("F4.8.C13", "under /v3.0 attributes come as one text")
async def older_attributes(partner: Partner) -> None:
    _rows(partner)
    asked = partner.target.attributes
    if not asked:
        raise NotTried("it needs --attributes")
    query = {"$top": 1, "CustomerAttributes": ";".join(asked), "CustomerAttributesDelimiter": ","}
    (row,) = await partner.details(query, version="/v3.0")
    expect(isinstance(row.get("CustomerAttribute"), str), "CustomerAttribute, a text", row)


@pulling.check("F4.7.1", "an attribute that there is not, a forbidden delimiter and a negative $top are a 400")
async def refused(partner: Partner) -> None:
    named = {"ChannelID": partner.target.channel, "CampaignID": _campaign(partner)}
    for wrong in (
        {"CustomerAttributes": "NobodyHasThisAttribute"},
        {"CustomerAttributes": ";".join(partner.target.attributes), "CustomerAttributesDelimiter": "&"},
        {"$top": -1},
    ):
        answer = await partner.call(_DETAILS, {**named, **wrong})
        expect(answer.status == 400 and answer.text != "", f"400 and a reason for {wrong}", answer)


@pulling.check("F4.8.C8", "a list about an unknown campaign is empty")
async def unknown_campaign(partner: Partner) -> None:
    query = {"ChannelID": partner.target.channel, "CampaignID": NOBODYS_CAMPAIGN}
    answer = await partner.call(_DETAILS, query)
    expect(answer.status == 200 and answer.text == "[]", "200 []", answer)


@pulling.check("F4.6.5", "GetCampaignDetails answers one object about it")
async def campaign_details(partner: Partner) -> None:
    said = await partner.get("actions/GetCampaignDetails", CampaignID=_campaign(partner))
    expect(isinstance(said, dict) and isinstance(said.get("Tags"), list), "an object with Tags", said)
    expect(isinstance(said.get("IsRecurrence"), bool), "IsRecurrence, a boolean", said.get("IsRecurrence"))
