"""`/console/brands/…/customers`: people found by whatever is known of them, made and changed in a form."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from litestar import Response, get, post
from litestar.handlers import HTTPRouteHandler
from litestar.response import Redirect

from stentor.audience.customers import CustomerService
from stentor.audience.finding import SEARCH_CHARS_MAX, PersonFinder, Wanted
from stentor.audience.model import Customer
from stentor.audience.tags import TagService
from stentor.console.account import read_id
from stentor.console.brand import HERE, BrandDoor, Place, id_in
from stentor.console.people.form import PersonForm, changes_of, drawn, form_of, new_form, read_form
from stentor.console.people.view import name_of
from stentor.console.visits import AnyRequest
from stentor.domain.vocabulary import CHANNEL_LABELS, ChannelKind
from stentor.errors import Conflict, Invalid, NotFound, Problem, Unavailable

SHOWN = 50
LOOK_MS_MAX = 150
"""Milliseconds that one page looks for a name; its reader's browser goes on looking where it stopped."""
PERSON_FORM_BYTES_MAX = 512 * 1024

LIST = f"{HERE}/customers"
ONE = f"{LIST}/{{customer_id:str}}"

_AT_THE_FORM = (Conflict, Invalid)


class CustomerPages:
    """Finding, making and changing people. What they do goes through the same services as what programs do."""

    def __init__(self, door: BrandDoor, *, finder: PersonFinder, customers: CustomerService, tags: TagService) -> None:
        self._door = door
        self._finder = finder
        self._customers = customers
        self._tags = tags

    def handlers(self) -> list[HTTPRouteHandler]:
        """The handlers, to be mounted at `/console`."""
        return [*self._looking(), *self._changing()]

    def _looking(self) -> list[HTTPRouteHandler]:
        @get(LIST, include_in_schema=False)
        async def listed(request: AnyRequest) -> Response[str]:
            return await self._listed(request, await self._door.inside(request))

        @get(f"{LIST}/by-id/{{external_id:str}}", include_in_schema=False)
        async def by_id(request: AnyRequest) -> Redirect:
            place = await self._door.inside(request)
            person = await self._customers.get(place.brand.id, request.path_params["external_id"])
            return Redirect(f"{place.root}/customers/{person.customer_id}", status_code=303)

        return [listed, by_id]

    def _changing(self) -> list[HTTPRouteHandler]:
        @get(f"{LIST}/new", include_in_schema=False)
        async def new(request: AnyRequest) -> Response[str]:
            place = await self._door.inside(request, "write")
            return self._form(request, place, new_form(), None)

        @post(f"{LIST}/new", include_in_schema=False, request_max_body_size=PERSON_FORM_BYTES_MAX, status_code=200)
        async def make(request: AnyRequest) -> Response[str] | Redirect:
            place, form = await self._door.posted(request, "write")
            return await self._posted(request, place, form, None)

        @get(f"{ONE}/edit", include_in_schema=False)
        async def edit(request: AnyRequest) -> Response[str]:
            place = await self._door.inside(request)
            person = await self._person(request, place)
            return self._form(request, place, form_of(person), person)

        @post(f"{ONE}/edit", include_in_schema=False, request_max_body_size=PERSON_FORM_BYTES_MAX, status_code=200)
        async def change(request: AnyRequest) -> Response[str] | Redirect:
            place, form = await self._door.posted(request, "write")
            return await self._posted(request, place, form, await self._person(request, place))

        return [new, make, edit, change]

    async def _person(self, request: AnyRequest, place: Place) -> Customer:
        return await self._finder.get(place.brand.id, read_id(request.path_params["customer_id"]))

    async def _listed(self, request: AnyRequest, place: Place) -> Response[str]:
        query = request.query_params
        text = query.get("search", "").strip()
        channel = query.get("channel", "")
        wanted = Wanted(
            text=text,
            tag_id=id_in(query, "tag"),
            channel=ChannelKind.named(channel) if channel in CHANNEL_LABELS else None,
        )
        tag = None
        if wanted.tag_id is not None:
            tag = await self._tags.find(place.brand.id, wanted.tag_id)
        after, problem = id_in(query, "after"), None
        people: list[Customer] = []
        behind: UUID | None = None
        try:
            found = await self._finder.find(
                place.brand.id,
                wanted,
                region=place.brand.settings.default_country,
                after=after,
                limit=SHOWN,
                within_s=LOOK_MS_MAX / 1000,
            )
            people, behind = found.people, found.behind
        except Unavailable as error:
            problem = error
        asked = {
            name: value
            for name, value in (("search", text), ("tag", "" if tag is None else str(tag.id)), ("channel", channel))
            if value
        }
        return self._door.page(
            request,
            "people/customers.html",
            place,
            tab="customers",
            problem=problem,
            people=people,
            name_of=name_of,
            search=text,
            chars_max=SEARCH_CHARS_MAX,
            channel=channel,
            channels=CHANNEL_LABELS,
            tag=tag,
            is_narrowed=bool(asked),
            is_first=after is None,
            first=urlencode(asked),
            more=None if behind is None else urlencode({**asked, "after": str(behind)}),
            # A page that is not full was only read so far in its time.
            goes_on=behind is not None and len(people) < SHOWN,
            told="They are erased." if "erased" in query else "",
        )

    async def _posted(
        self, request: AnyRequest, place: Place, form: Mapping[str, str], person: Customer | None
    ) -> Response[str] | Redirect:
        """The form of a new person, or of that one: saved, or drawn again with another row."""
        typed = read_form(form)
        if form.get("do") != "save":
            return self._form(request, place, drawn(typed), person)
        try:
            patch = changes_of(typed, person)
            if person is None:
                await self._check_is_new(place.brand.id, patch.external_id)
            saved = await self._customers.upsert(place.brand.id, patch, region=place.brand.settings.default_country)
        except _AT_THE_FORM as problem:
            return self._form(request, place, typed, person, problem=problem)
        told = "warned" if saved.warnings else "saved"
        return Redirect(f"{place.root}/customers/{saved.customer.customer_id}?{told}=yes", status_code=303)

    async def _check_is_new(self, brand_id: UUID, external_id: str) -> None:
        try:
            known = await self._customers.get(brand_id, external_id)
        except NotFound:
            return
        text = f"There is a customer with this id already: {name_of(known)}. Change that one, or choose another id."
        raise Invalid.field("/external_id", "taken", text)

    def _form(
        self,
        request: AnyRequest,
        place: Place,
        typed: PersonForm,
        person: Customer | None,
        problem: Problem | None = None,
    ) -> Response[Any]:
        return self._door.page(
            request,
            "people/form.html",
            place,
            tab="customers",
            problem=problem,
            person=person,
            name=None if person is None else name_of(person),
            form=typed.view(problem),
        )
