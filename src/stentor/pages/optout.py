"""`/u/l/{code}?c=&a=&s=`: where opt-out links of mailings lead that others send. Looking changes nothing; posting opts out."""

from collections.abc import Callable, Mapping
from ipaddress import IPv4Address, IPv6Address
from typing import Any, TypeAlias

import msgspec
from litestar import Request, Response, Router, get, post
from litestar.params import FromPath

from stentor.accounts.directory import BrandDirectory
from stentor.accounts.model import Brand
from stentor.domain.address import InvalidAddress, normal_phone
from stentor.domain.text import NOT_IN_A_LINE
from stentor.domain.vocabulary import ChannelKind
from stentor.errors import Conflict, Invalid, NotFound
from stentor.forms import posted
from stentor.html import templates_of
from stentor.optouts.entry_service import NOTE_CHARS_MAX, EntryService
from stentor.optouts.lists import ListService
from stentor.optouts.model import OptOutList

# An address has at most 320 characters.
FORM_BYTES_MAX = 4096

AnyRequest: TypeAlias = Request[Any, Any, Any]
Caller: TypeAlias = Callable[[AnyRequest], IPv4Address | IPv6Address | None]
Throttled: TypeAlias = Callable[[AnyRequest], None]

_PAGES = templates_of("stentor.pages")


class Asked(msgspec.Struct, frozen=True):
    """Whom a link opts out of what: `input_type` is what the page asks for, `said` the last answer, `wrong` why it was none."""

    brand: str
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
            return _unknown_link() if found is None else _page("optout.html", asked=_asked(*found))

        @post("/u/l/{code:str}", include_in_schema=False, status_code=200, request_max_body_size=FORM_BYTES_MAX)
        async def opt_out(request: AnyRequest, code: FromPath[str]) -> Response[str]:
            self._post_throttled(request)
            found = await self._found(code)
            if found is None:
                return _unknown_link()
            held, brand = found
            said = await _said(request)
            try:
                await self._collect(request, held, brand, said)
            except Invalid as wrong:
                asked = msgspec.structs.replace(_asked(held, brand), said=said, wrong=wrong.detail)
                return _page("optout.html", status=400, asked=asked)
            except (NotFound, Conflict):
                # Disabled or deleted while the page was open.
                return _unknown_link()
            return _page("opted_out.html", brand=brand.name, said=said)

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


def _asked(held: OptOutList, brand: Brand) -> Asked:
    if held.channels == ChannelKind.EMAIL.bit:
        return Asked(brand.name, "email address", "email")
    if held.channels == ChannelKind.SMS.bit:
        return Asked(brand.name, "phone number, with its country code", "tel")
    return Asked(brand.name, "email address, or phone number with its country code", "text")


def _unknown_link() -> Response[str]:
    return _page("unknown_link.html", status=404)


def _page(name: str, *, status: int = 200, headers: Mapping[str, str] | None = None, **facts: Any) -> Response[str]:
    return Response(
        _PAGES.get_template(name).render(facts), status_code=status, media_type="text/html", headers=dict(headers or {})
    )
