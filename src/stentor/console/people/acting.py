"""What somebody does to one person in the console: choices for them, suppression, tags, merging, erasing."""

from collections.abc import Mapping

from litestar import Response, get, post
from litestar.handlers import HTTPRouteHandler
from litestar.response import Redirect

from stentor.audience.finding import PersonFinder
from stentor.audience.model import Customer
from stentor.audience.profile_service import ProfileService
from stentor.audience.subscriptions import SubscriptionService
from stentor.audience.tags import TagService
from stentor.console.account import read_id
from stentor.console.brand import BrandDoor, Place, id_in
from stentor.console.people.customers import ONE
from stentor.console.people.person import PersonPages
from stentor.console.people.view import by_operator, name_of
from stentor.console.visits import FORM_BYTES_MAX, AnyRequest, Visits
from stentor.domain.text import NOT_IN_A_LINE
from stentor.domain.vocabulary import ALL_CHANNELS_MASK, CHANNEL_LABELS, ChannelKind
from stentor.erasures.merging import MergeService
from stentor.erasures.model import LISTS_WITHIN
from stentor.erasures.service import ErasureService
from stentor.errors import Conflict, Invalid, NotFound, Problem, Unprocessable

NOTE_CHARS_MAX = 500


class PersonActs:
    """Changes to one person. Whatever is said for them is in the ledger, with who said it."""

    def __init__(
        self,
        door: BrandDoor,
        visits: Visits,
        pages: PersonPages,
        *,
        finder: PersonFinder,
        profiles: ProfileService,
        subscriptions: SubscriptionService,
        tags: TagService,
        merges: MergeService,
        erasures: ErasureService,
    ) -> None:
        self._door = door
        self._visits = visits
        self._pages = pages
        self._finder = finder
        self._profiles = profiles
        self._subscriptions = subscriptions
        self._tags = tags
        self._merges = merges
        self._erasures = erasures

    def handlers(self) -> list[HTTPRouteHandler]:
        """The handlers, to be mounted at `/console`."""
        return [*self._choosing(), *self._tagging(), *self._ending()]

    def _choosing(self) -> list[HTTPRouteHandler]:
        @post(f"{ONE}/choices", include_in_schema=False, request_max_body_size=FORM_BYTES_MAX, status_code=200)
        async def choose(request: AnyRequest) -> Response[str] | Redirect:
            place, form, person = await self._posted(request)
            try:
                await self._choose(request, place, form, person)
            except (Invalid, NotFound) as problem:
                return await self._pages.page(request, place, person, problem=problem)
            return _back(place, person, "chosen")

        @post(f"{ONE}/suppress", include_in_schema=False, request_max_body_size=FORM_BYTES_MAX, status_code=200)
        async def suppress(request: AnyRequest) -> Response[str] | Redirect:
            place, form, person = await self._posted(request)
            channel = form.get("channel", "")
            channels = ChannelKind.named(channel).bit if channel in CHANNEL_LABELS else ALL_CHANNELS_MASK
            try:
                if channel not in {"all", *CHANNEL_LABELS}:
                    raise Invalid.field("/channel", "no-channel", "Say on which channel, or on all of them.")
                act = by_operator(place, self._visits.origin_of(request).ip, _note(form))
            except Invalid as problem:
                return await self._pages.page(request, place, person, problem=problem)
            await self._subscriptions.refuse(place.brand.id, person.customer_id, channels, act, cause="api")
            return _back(place, person, "suppressed")

        return [choose, suppress]

    async def _choose(self, request: AnyRequest, place: Place, form: Mapping[str, str], person: Customer) -> None:
        """One button of the matrix: `subscribe` or `unsubscribe`, the topic's id, and the channel. Raises Invalid, NotFound."""
        what, _, rest = form.get("do", "").partition(" ")
        topic, _, channel = rest.partition(" ")
        if what not in {"subscribe", "unsubscribe"} or channel not in CHANNEL_LABELS:
            raise Invalid("Nothing is changed: choose a topic and a channel.")
        note, bit = _note(form), ChannelKind.named(channel).bit
        act = by_operator(place, self._visits.origin_of(request).ip, note)
        if what == "unsubscribe":
            await self._subscriptions.unsubscribe(place.brand.id, person.external_id, topic, bit, act)
            return
        if not note:
            text = "Say how they agreed: nobody is opted in without a proof. Write it below the topics, then press the button again."
            raise Invalid.field("/note", "missing", text)
        await self._subscriptions.subscribe(place.brand.id, person.external_id, topic, bit, act)

    def _tagging(self) -> list[HTTPRouteHandler]:
        @post(f"{ONE}/tags", include_in_schema=False, request_max_body_size=FORM_BYTES_MAX, status_code=200)
        async def tag(request: AnyRequest) -> Response[str] | Redirect:
            place, form, person = await self._posted(request)
            try:
                given, taken = id_in(form, "tag"), id_in(form, "untag")
                if taken is not None:
                    await self._tags.untag(place.brand.id, taken, person.external_id)
                elif given is not None:
                    await self._tags.tag(place.brand.id, given, person.external_id)
                else:
                    raise Invalid.field("/tag", "no-tag", "Choose a tag.")
            except (Invalid, NotFound) as problem:
                return await self._pages.page(request, place, person, problem=problem)
            return _back(place, person, "tagged")

        return [tag]

    def _ending(self) -> list[HTTPRouteHandler]:
        @get(f"{ONE}/erase", include_in_schema=False)
        async def ask(request: AnyRequest) -> Response[str]:
            place = await self._door.inside(request, "write")
            return self._erasing(request, place, await self._person(request, place))

        @post(f"{ONE}/erase", include_in_schema=False, request_max_body_size=FORM_BYTES_MAX, status_code=200)
        async def erase(request: AnyRequest) -> Response[str] | Redirect:
            place, form, person = await self._posted(request)
            if form.get("typed", "").strip() != person.external_id:
                text = "This is not their id, and nobody is erased. Type it as it stands above."
                problem = Invalid.field("/typed", "differs", text)
                return self._erasing(request, place, person, problem=problem)
            asked_by = f"user {place.who.user.email}"
            await self._erasures.erase(place.brand.id, person.external_id, asked_by=asked_by)
            return Redirect(f"{place.root}/customers?erased=yes", status_code=303)

        @get(f"{ONE}/merge", include_in_schema=False)
        async def choose_other(request: AnyRequest) -> Response[str]:
            place = await self._door.inside(request, "write")
            person = await self._person(request, place)
            other = request.query_params.get("other", "").strip()
            return await self._merging(request, place, person, other)

        @post(f"{ONE}/merge", include_in_schema=False, request_max_body_size=FORM_BYTES_MAX, status_code=200)
        async def merge(request: AnyRequest) -> Response[str] | Redirect:
            place, form, person = await self._posted(request)
            other = form.get("other", "").strip()
            try:
                await self._merges.merge(
                    place.brand.id,
                    str(person.customer_id),
                    other,
                    asked_by=f"user {place.who.user.email}",
                )
            except (Conflict, Invalid, NotFound, Unprocessable) as problem:
                return await self._merging(request, place, person, other, problem=problem)
            return _back(place, person, "merged")

        return [ask, erase, choose_other, merge]

    async def _posted(self, request: AnyRequest) -> tuple[Place, Mapping[str, str], Customer]:
        place, form = await self._door.posted(request, "write")
        return place, form, await self._person(request, place)

    async def _person(self, request: AnyRequest, place: Place) -> Customer:
        return await self._finder.get(place.brand.id, read_id(request.path_params["customer_id"]))

    def _erasing(
        self, request: AnyRequest, place: Place, person: Customer, *, problem: Problem | None = None
    ) -> Response[str]:
        return self._door.page(
            request,
            "people/erase.html",
            place,
            tab="customers",
            problem=problem,
            person=person,
            name=name_of(person),
            lists_days=LISTS_WITHIN.days,
        )

    async def _merging(
        self, request: AnyRequest, place: Place, person: Customer, other: str, *, problem: Problem | None = None
    ) -> Response[str]:
        """Who goes is shown before anything is merged."""
        goes: Customer | None = None
        if other and problem is None:
            try:
                goes = await self._profiles.find(place.brand.id, other)
            except NotFound as error:
                problem = error
            if goes is not None and goes.customer_id == person.customer_id:
                text = "This is the same person, or was merged into them. Name another one."
                goes, problem = None, Invalid.field("/other", "same-profile", text)
        return self._door.page(
            request,
            "people/merge.html",
            place,
            tab="customers",
            problem=problem,
            person=person,
            name=name_of(person),
            other=other,
            goes=goes,
            goes_name="" if goes is None else name_of(goes),
        )


def _note(form: Mapping[str, str]) -> str:
    """What somebody wrote of how they know. Raises Invalid."""
    note = form.get("note", "").strip()
    if len(note) > NOTE_CHARS_MAX or NOT_IN_A_LINE.search(note):
        text = f"Write one line of at most {NOTE_CHARS_MAX} characters about how you know."
        raise Invalid.field("/note", "length", text)
    return note


def _back(place: Place, person: Customer, told: str) -> Redirect:
    return Redirect(f"{place.root}/customers/{person.customer_id}?{told}=yes", status_code=303)
