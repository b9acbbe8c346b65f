"""`/u/l/{code}?c=&a=&s=`: where opt-out links of mailings lead that others send. Looking changes nothing; posting opts out."""

from collections.abc import Callable
from typing import TypeAlias

import msgspec
from litestar import Response, Router, get, post
from litestar.params import FromPath

from stentor.accounts.directory import BrandDirectory
from stentor.accounts.model import Brand
from stentor.domain.address import InvalidAddress, normal_phone
from stentor.domain.text import NOT_IN_A_LINE
from stentor.domain.vocabulary import ChannelKind
from stentor.errors import Conflict, Invalid, NotFound
from stentor.forms import posted
from stentor.optouts.entry_service import NOTE_CHARS_MAX, EntryService
from stentor.optouts.lists import ListService
from stentor.optouts.model import OptOutList
from stentor.pages.drawing import AnyRequest, drawn, look_of
from stentor.pages.unsubscribe import Caller, unknown_link

# An address has at most 320 characters.
FORM_BYTES_MAX = 4096

Throttled: TypeAlias = Callable[[AnyRequest], None]


class Asked(msgspec.Struct, frozen=True):
    """What a page asks for: the name of its text, `input_type`, `said` the last answer, and `wrong` why it was none."""

    takes: str
    input_type: str
    said: str = ""
    wrong: str = ""


class OptoutPages:
    """The pages behind opt-out links. They set no cookie, redirect nowhere, and never tell who is on a list.

    `look_throttled` and `post_throttled` raise RateLimited for a caller who comes too often.
    """

    def __init__(
        self,
        *,
        lists: ListService,
        entries: EntryService,
        brands: BrandDirectory,
        caller: Caller,
        look_throttled: Throttled,
        post_throttled: Throttled,
    ) -> None:
        self._lists = lists
        self._entries = entries
        self._brands = brands
        self._caller = caller
        self._look_throttled = look_throttled
        self._post_throttled = post_throttled

    def routes(self) -> Router:
        """The handlers, to be mounted at the root beside those of unsubscribe links, whose errors and style they share."""

        @get("/u/l/{code:str}", include_in_schema=False)
        async def look(request: AnyRequest, code: FromPath[str]) -> Response[str]:
            self._look_throttled(request)
            found = await self._found(code)
            if found is None:
                return unknown_link(request)
            held, brand = found
            return drawn("optout.html", look_of(request, brand), asked=_asked(held))

        @post("/u/l/{code:str}", include_in_schema=False, status_code=200, request_max_body_size=FORM_BYTES_MAX)
        async def opt_out(request: AnyRequest, code: FromPath[str]) -> Response[str]:
            self._post_throttled(request)
            found = await self._found(code)
            if found is None:
                return unknown_link(request)
            held, brand = found
            look = look_of(request, brand)
            said = await _said(request)
            try:
                await self._collect(request, held, brand, said)
            except Invalid as wrong:
                asked = msgspec.structs.replace(_asked(held), said=said, wrong=wrong.detail)
                return drawn("optout.html", look, status=400, asked=asked)
            except (NotFound, Conflict):
                # Disabled or deleted while the page was open.
                return unknown_link(request)
            return drawn("opted_out.html", look, said=said)

        return Router("/", route_handlers=[look, opt_out])

    async def _found(self, code: str) -> tuple[OptOutList, Brand] | None:
        held = await self._lists.open_to_all(code)
        brand = None if held is None else await self._brands.by_id(held.brand_id)
        return None if held is None or brand is None else (held, brand)

    async def _collect(self, request: AnyRequest, held: OptOutList, brand: Brand, said: str) -> None:
        address = self._caller(request)
        await self._entries.collect(
            held.brand_id,
            str(held.id),
            _international(said, brand.settings.default_country) if held.channels & ChannelKind.SMS.bit else said,
            campaign=_note(request, "c"),
            affiliate=_note(request, "a"),
            sub_affiliate=_note(request, "s"),
            ip="" if address is None else str(address),
        )


async def _said(request: AnyRequest) -> str:
    """What was typed into the page; empty where it sent no such field."""
    said = (await posted(request)).get("address")
    return NOT_IN_A_LINE.sub("", said).strip() if isinstance(said, str) else ""


def _international(said: str, region: str | None) -> str:
    """A number with its country code, as somebody of that region writes it; what has no digit, an @ or the code, as it is.

    Raises Invalid for one that is none. Without a region bare digits are none: `4155550123` may be meant in San Francisco,
    and read with a country code it is in Switzerland, where somebody else would be opted out.
    """
    if "@" in said or said.startswith("00") or not any(character.isdigit() for character in said):
        return said
    number = normal_phone(said, region)
    if isinstance(number, InvalidAddress):
        raise Invalid(number.reason)
    return number


def _note(request: AnyRequest, name: str) -> str:
    """What the mailer wrote into the link. Nobody's opt-out fails because it is too long."""
    return NOT_IN_A_LINE.sub("", request.query_params.get(name, ""))[:NOTE_CHARS_MAX].strip()


def _asked(held: OptOutList) -> Asked:
    if held.channels == ChannelKind.EMAIL.bit:
        return Asked("your_email", "email")
    if held.channels == ChannelKind.SMS.bit:
        return Asked("your_phone", "tel")
    return Asked("your_either", "text")
