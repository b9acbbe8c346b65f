"""The functions of the scripted hub, and what each answers and writes down."""

from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime
from typing import Any, TypeAlias
from urllib.parse import unquote, urlsplit

import msgspec

from stentor.cli.conformance.service.book import DETAILS, LOGIN, Book, Page, Told, Total
from stentor.cli.conformance.service.campaigns import values_of
from stentor.cli.conformance.service.reading import (
    items_of,
    lowered,
    number_of,
    optional_number_of,
    people_of,
    refuse,
    text_of,
)

USUAL_PAGE = 10_000
OLDER = frozenset({"v3.0", "v1.6", ""})

_METRICS = frozenset(range(10)) - {8}
_FORBIDDEN = frozenset(":/?&#%$+=")


class Asked(msgspec.Struct, frozen=True):
    """One call. The names in `query` are in lower case; `body` is what came as JSON."""

    version: str
    query: Mapping[str, str]
    body: Any


NOTHING = ""
"""What a function answers that returns nothing."""

Function: TypeAlias = Callable[[Book, Asked], Any]

GETS: dict[str, Function] = {}
POSTS: dict[str, Function] = {}


def get(*names: str) -> Callable[[Function], Function]:
    """Registers what GET answers under these names."""
    return _registering(GETS, names)


def post(*names: str) -> Callable[[Function], Function]:
    """Registers what POST answers under these names."""
    return _registering(POSTS, names)


def _registering(functions: dict[str, Function], names: tuple[str, ...]) -> Callable[[Function], Function]:
    def register(function: Function) -> Function:
        functions.update(dict.fromkeys(names, function))
        return function

    return register


@post(LOGIN)
def login(book: Book, asked: Asked) -> str:
    said = lowered(asked.body)
    return _token(book, str(said.get("username")), str(said.get("password")))


@get(LOGIN)
def older_login(book: Book, asked: Asked) -> str:
    return _token(book, asked.query.get("username", ""), asked.query.get("password", ""))


def _token(book: Book, username: str, password: str) -> str:
    if (username, password) != (book.target.username, book.target.password):
        refuse("Unauthorized", 401)
    return book.new_token()


@post("general/registereventlistener")
def register_listener(book: Book, asked: Asked) -> str:
    said = lowered(asked.body)
    event, channel = number_of(said, "EventTypeID"), optional_number_of(said, "ChannelID")
    if channel is not None:
        _is_ours(book, channel)
    # Programs exist that send the whole URL percent-encoded.
    text = text_of(said, "ListenerURL").strip()
    url = text if "://" in text else unquote(text)
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.netloc:
        refuse(f"ListenerURL is an absolute http or https URL, not {text!r}.")
    book.listeners[event, channel] = url
    book.registered.add(event)
    return NOTHING


@post("general/unregistereventlistener")
def unregister_listener(book: Book, asked: Asked) -> str:
    said = lowered(asked.body)
    book.listeners.pop((number_of(said, "EventTypeID"), optional_number_of(said, "ChannelID")), None)
    return NOTHING


@get("general/getregisteredeventlisteners", "general/getregisteredeventlistener")
def listeners(book: Book, _asked: Asked) -> list[dict[str, Any]]:
    found = sorted(book.listeners.items(), key=lambda one: (one[0][0], one[0][1] or 0))
    return [
        {"EventTypeID": event, **({} if channel is None else {"ChannelID": channel}), "ListenerURL": url}
        for (event, channel), url in found
    ]


@get("general/getlastdataupdate")
def last_update(_book: Book, _asked: Asked) -> dict[str, str]:
    return {"Date": datetime.now(UTC).date().isoformat()}


@get("actions/getexecutionchannels")
def channels(book: Book, _asked: Asked) -> list[dict[str, Any]]:
    number = book.target.channel
    return [{"ChannelID": number, "ChannelId": number, "ChannelName": "Kit"}]


@get("actions/getexecutedcampaignsbychannel")
def campaigns(book: Book, asked: Asked) -> list[dict[str, int]]:
    if number_of(asked.query, "ChannelID") != book.target.channel:
        return []
    return [{"CampaignID": number} for number in book.campaigns]


@get("actions/getexecutedcampaignchanneldetails")
def sends(book: Book, asked: Asked) -> list[dict[str, Any]]:
    campaign = book.campaigns.get(number_of(asked.query, "CampaignID"))
    if campaign is None or number_of(asked.query, "ChannelID") != book.target.channel:
        return []
    return [
        {
            "SendID": place,
            "TemplateID": template,
            "ScheduledTime": next(row.scheduled for row in campaign.rows if row.template == template),
        }
        for place, template in enumerate(sorted(campaign.templates), 1)
    ]


@get("actions/getcampaigndetails")
def campaign(book: Book, asked: Asked) -> dict[str, Any]:
    found = book.campaigns.get(number_of(asked.query, "CampaignID"))
    if found is None:
        refuse("Not Found", 404)
    return {
        "TargetGroupID": 1,
        "CampaignType": "Test/Control",
        "Duration": 1,
        "LeadTime": 0,
        "Notes": "Of the conformance kit",
        "IsMultiChannel": False,
        "IsRecurrence": False,
        "Status": "Successful",
        "Error": "",
        "Tags": [],
        "Channels": [{"Id": book.target.channel}],
        "TestGroupSize": len(found.rows),
        "ControlGroupSize": 0,
    }


@post("integrations/addchanneltemplates")
def add_templates(book: Book, asked: Asked) -> str:
    _is_ours(book, number_of(asked.query, "ChannelID"))
    items = items_of(asked.body)
    book.templates |= {number_of(one, "TemplateID"): text_of(one, "TemplateName") for one in items}
    book.note(book.batches, len(items))
    return NOTHING


@get("integrations/getchanneltemplates")
def templates(book: Book, asked: Asked) -> list[dict[str, Any]]:
    if number_of(asked.query, "ChannelID") != book.target.channel:
        return []
    return [{"TemplateID": number, "TemplateName": name} for number, name in sorted(book.templates.items())]


@post("integrations/deletechanneltemplates")
def delete_templates(book: Book, asked: Asked) -> str:
    for one in items_of(asked.body):
        _is_ours(book, number_of(one, "ChannelID"))
        book.templates.pop(number_of(one, "TemplateID"), None)
    return NOTHING


@post("integrations/addchannelapps")
def add_apps(book: Book, asked: Asked) -> str:
    _is_ours(book, number_of(asked.query, "ChannelID"))
    added = {text_of(one, "AppID"): text_of(one, "AppName") for one in items_of(asked.body)}
    book.apps |= added
    book.added_apps += len(added)
    return NOTHING


@post("integrations/deletechannelapps")
def delete_apps(book: Book, asked: Asked) -> str:
    for one in items_of(asked.body):
        _is_ours(book, number_of(one, "ChannelID"))
        book.apps.pop(text_of(one, "AppID"), None)
    return NOTHING


@get(DETAILS)
def details(book: Book, asked: Asked) -> list[dict[str, Any]]:
    channel, number = number_of(asked.query, "ChannelID"), number_of(asked.query, "CampaignID")
    top = _paging(asked, "top", USUAL_PAGE)
    skip = _paging(asked, "skip", 0)
    said = asked.query.get("customerattributes") or asked.query.get("customerattribtues") or ""
    names = [name for each in said.split(";") if (name := each.strip())]
    granted = {name.lower() for name in book.target.attributes}
    if refused := [name for name in names if name.lower() not in granted]:
        refuse(f"{', '.join(refused)} may not be asked for; these may: {', '.join(book.target.attributes)}.")
    delimiter = asked.query.get("customerattributesdelimiter") or ","
    if _FORBIDDEN & set(delimiter):
        refuse(f"CustomerAttributesDelimiter is , or ;, not {delimiter!r}.")
    found = book.campaigns.get(number)
    if found is None or found.is_cancelled or channel != book.target.channel:
        return []
    rows = found.rows[skip : skip + top]
    book.note(book.pages, Page(number, skip, top, len(rows), tuple(names), book.setbacks))
    listed = []
    for place, row in enumerate(rows, skip):
        values = values_of(place, len(found.rows), names) if names else []
        listed.append(
            {
                "CustomerID": row.customer,
                "TemplateID": row.template,
                "ScheduledTime": row.scheduled,
                **_attributes(values, delimiter, is_older=asked.version in OLDER),
            }
        )
    return listed


def _attributes(values: list[str], delimiter: str, *, is_older: bool) -> dict[str, Any]:
    if not values:
        return {}
    return {"CustomerAttribute": delimiter.join(values)} if is_older else {"CustomerAttributes": values}


def _paging(asked: Asked, name: str, usual: int) -> int:
    found = optional_number_of({name: asked.query.get(f"${name}", asked.query.get(name))}, name)
    if name == "top" and found == 0:
        refuse("$top is at least 1.")
    return usual if found is None else found


@get("customers/getcanceledcampaigncustomers")
def cancelled(book: Book, asked: Asked) -> list[dict[str, Any]]:
    found = book.campaigns.get(number_of(asked.query, "CampaignID"))
    if found is None or not found.is_cancelled:
        return []
    return [{"CustomerID": row.customer} for row in found.rows]


@post("integrations/updatecampaignmetrics")
def metrics(book: Book, asked: Asked) -> str:
    said = []
    for one in items_of(asked.body):
        total = Total(
            number_of(one, "ChannelID"),
            number_of(one, "CampaignID"),
            number_of(one, "TemplateID"),
            number_of(one, "MetricID"),
            number_of(one, "MetricValue"),
        )
        if total.metric not in _METRICS:
            refuse(f"MetricID is 0 to 7 or 9, not {total.metric}.")
        said.append(total)
    for total in said:
        book.note(book.totals, total)
    return NOTHING


@post("integrations/updatecampaigninteractions")
def interactions(book: Book, asked: Asked) -> str:
    said = lowered(asked.body)
    day, event = text_of(said, "InteractionDate"), number_of(said, "EventID")
    try:
        date.fromisoformat(day)
    except ValueError:
        refuse(f"InteractionDate is a day like 2026-11-20, not {day!r}.")
    if event not in _METRICS or event == 0:
        refuse(f"EventID is 1 to 7 or 9, not {event}.")
    told = Told(
        number_of(said, "ChannelID"),
        number_of(said, "CampaignID"),
        number_of(said, "TemplateID"),
        event,
        day,
        tuple(people_of(said)),
    )
    book.note(book.told, told)
    return NOTHING


def _is_ours(book: Book, channel: int) -> None:
    if channel != book.target.channel:
        refuse(f"ChannelID {channel} is none of yours; yours is {book.target.channel}.")
