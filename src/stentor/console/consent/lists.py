"""`/console/brands/…/optouts`: opt-out lists, one address looked up on all of them, and entries by hand."""

from collections.abc import Mapping
from typing import Any, cast
from uuid import UUID

from litestar import Response, get, post
from litestar.handlers import HTTPRouteHandler
from litestar.response import Redirect

from stentor.console.account import read_id
from stentor.console.brand import HERE, BrandDoor, Place, id_in
from stentor.console.consent.list_form import channels_in, draft_of, patch_of
from stentor.console.fields import errors_at
from stentor.console.visits import FORM_BYTES_MAX, AnyRequest
from stentor.domain.address import ADDRESS_CHARS_MAX
from stentor.errors import Conflict, Forbidden, Invalid, NotFound, Problem, Unavailable
from stentor.optouts.entry_service import NOTE_CHARS_MAX, REASON_CHARS_MAX, EntryService
from stentor.optouts.hashing import HASH_NAMES, EntryForm
from stentor.optouts.jobs.service import JobService
from stentor.optouts.lists import PAGE_MAX, ListService
from stentor.optouts.model import Cause, Finding, OptOutList, PastEntry

ENTRIES_SHOWN = 50
JOBS_SHOWN = 10

_AT_THE_FORM = (Conflict, Forbidden, Invalid, Unavailable)
_LIST = f"{HERE}/optouts"
_ONE = f"{_LIST}/lists/{{list_id:str}}"
_TOLD = {
    "made": "The list is made.",
    "saved": "Saved. It holds for the next message.",
    "deleted": "The list is deleted. Nothing on it objects any more.",
    "added": "It is on the list. Nobody is written to there from now on.",
    "listed": "It was on the list before.",
    "removed": "It is off the list. What it was is kept, with the reason.",
}
_FORMS = {
    EntryForm.ADDRESS: "the address itself",
    EntryForm.OTHER_SPELLING: "its host name, written the other way",
    EntryForm.DOMAIN: "its domain",
}
CAUSES: Mapping[Cause, str] = {
    "unsubscribe": "unsubscribed",
    "stop": "answered STOP",
    "bounce": "bounced",
    "complaint": "complained",
    "api": "was written down",
    "import": "came in a file",
    "collect": "followed an opt-out link",
}


class OptoutListPages:
    """Opt-out lists. Whoever is in the brand sees them; who may write makes and changes them and their entries."""

    def __init__(self, door: BrandDoor, *, lists: ListService, entries: EntryService, jobs: JobService) -> None:
        self._door = door
        self._lists = lists
        self._entries = entries
        self._jobs = jobs

    def handlers(self) -> list[HTTPRouteHandler]:
        """The handlers, to be mounted at `/console`."""
        return [*self._looking(), *self._making(), *self._by_hand()]

    def _looking(self) -> list[HTTPRouteHandler]:
        @get(_LIST, include_in_schema=False)
        async def listed(request: AnyRequest) -> Response[str]:
            return await self._overview(request, await self._door.inside(request))

        @post(f"{_LIST}/find", include_in_schema=False, request_max_body_size=FORM_BYTES_MAX, status_code=200)
        async def find(request: AnyRequest) -> Response[str]:
            # By a form, so that whom somebody looks for stands in no address, log or history.
            place, form = await self._door.posted(request, "read")
            asked = form.get("address", "").strip()
            if not asked:
                return await self._overview(request, place)
            try:
                found = await self._entries.search(place.brand.id, asked)
            except _AT_THE_FORM as problem:
                return await self._overview(request, place, problem=problem, asked=asked)
            return await self._overview(request, place, asked=asked, found=found)

        @get(f"{_LIST}/new", include_in_schema=False)
        async def new(request: AnyRequest) -> Response[str]:
            return self._form(request, await self._door.inside(request, "write"), _BLANK)

        @get(_ONE, include_in_schema=False)
        async def one(request: AnyRequest) -> Response[str]:
            place = await self._door.inside(request)
            told = _TOLD.get(request.query_params.get("done", ""), "")
            return await self._page(request, place, await self._held(request, place), told=told)

        return [listed, find, new, one]

    def _making(self) -> list[HTTPRouteHandler]:
        @post(_LIST, include_in_schema=False, request_max_body_size=FORM_BYTES_MAX, status_code=200)
        async def make(request: AnyRequest) -> Response[str] | Redirect:
            place, form = await self._door.posted(request, "write")
            try:
                made = await self._lists.create(place.brand.id, draft_of(form))
            except _AT_THE_FORM as problem:
                return self._form(request, place, form, problem=problem)
            return _back(place, made.id, "made")

        @post(_ONE, include_in_schema=False, request_max_body_size=FORM_BYTES_MAX, status_code=200)
        async def change(request: AnyRequest) -> Response[str] | Redirect:
            place, form = await self._door.posted(request, "write")
            held = await self._held(request, place)
            try:
                await self._lists.update(place.brand.id, str(held.id), patch_of(held, form))
            except _AT_THE_FORM as problem:
                return await self._page(request, place, held, problem=problem)
            return _back(place, held.id, "saved")

        @post(f"{_ONE}/delete", include_in_schema=False, request_max_body_size=FORM_BYTES_MAX, status_code=200)
        async def delete(request: AnyRequest) -> Response[str] | Redirect:
            place, _ = await self._door.posted(request, "write")
            held = await self._held(request, place)
            try:
                await self._lists.delete(place.brand.id, str(held.id))
            except Conflict as problem:
                return await self._page(request, place, held, problem=problem)
            return Redirect(f"{place.root}/optouts?done=deleted", status_code=303)

        return [make, change, delete]

    def _by_hand(self) -> list[HTTPRouteHandler]:
        @post(f"{_ONE}/entries", include_in_schema=False, request_max_body_size=FORM_BYTES_MAX, status_code=200)
        async def add(request: AnyRequest) -> Response[str] | Redirect:
            place, form = await self._door.posted(request, "write")
            held = await self._held(request, place)
            try:
                added = await self._entries.add(
                    place.brand.id, str(held.id), [form.get("address", "")], source=form.get("source", "").strip()
                )
            except _AT_THE_FORM as problem:
                return await self._page(request, place, held, problem=problem, typed=form)
            return _back(place, held.id, "added" if added.added else "listed")

        @post(f"{_ONE}/find", include_in_schema=False, request_max_body_size=FORM_BYTES_MAX, status_code=200)
        async def find(request: AnyRequest) -> Response[str]:
            place, form = await self._door.posted(request, "read")
            held = await self._held(request, place)
            asked = form.get("address", "").strip()
            if not asked:
                return await self._page(request, place, held)
            try:
                found = await self._entries.find(place.brand.id, str(held.id), asked)
                holds = held.holds_entries
                history = await self._entries.history(place.brand.id, str(held.id), asked) if holds else []
            except _AT_THE_FORM as problem:
                return await self._page(request, place, held, problem=problem, asked=asked)
            return await self._page(request, place, held, asked=asked, found=found, history=history)

        @post(f"{_ONE}/entries/remove", include_in_schema=False, request_max_body_size=FORM_BYTES_MAX, status_code=200)
        async def remove(request: AnyRequest) -> Response[str] | Redirect:
            place, form = await self._door.posted(request, "write")
            held = await self._held(request, place)
            text, reason = form.get("address", ""), form.get("reason", "")
            try:
                await self._entries.remove(
                    place.brand.id, str(held.id), text, reason=reason, actor=place.who.user.email
                )
            except (*_AT_THE_FORM, NotFound) as problem:
                return await self._page(request, place, held, problem=problem, typed=form)
            return _back(place, held.id, "removed")

        return [add, find, remove]

    async def _held(self, request: AnyRequest, place: Place) -> OptOutList:
        """The list of the path, by its id. Raises NotFound."""
        return await self._lists.get(place.brand.id, str(read_id(request.path_params["list_id"])))

    async def _overview(
        self,
        request: AnyRequest,
        place: Place,
        *,
        problem: Problem | None = None,
        asked: str = "",
        found: list[Finding] | None = None,
    ) -> Response[str]:
        after = id_in(request.query_params, "after")
        lists = await self._lists.page(place.brand.id, after=after, limit=PAGE_MAX)
        return _unkept(
            self._door.page(
                request,
                "consent/lists.html",
                place,
                tab="optouts",
                problem=problem,
                lists=lists,
                more=lists[-1].id if len(lists) == PAGE_MAX else None,
                is_first=after is None,
                asked=asked,
                found=found,
                names=await self._names(place, found or []),
                told=_TOLD.get(request.query_params.get("done", ""), ""),
                **_WORDS,
            ),
            asked,
        )

    async def _names(self, place: Place, found: list[Finding]) -> dict[UUID, str]:
        """What the lists of these findings are called; another brand's has no name here."""
        wanted = {str(one.list_id) for one in found}
        return {held.id: held.name for held in await self._lists.known(place.brand.id, wanted)} if wanted else {}

    def _form(
        self, request: AnyRequest, place: Place, typed: Mapping[str, str], *, problem: Problem | None = None
    ) -> Response[str]:
        """The form of a list that is not there yet."""
        errors, others = errors_at(problem, _PLACES)
        return self._door.page(
            request,
            "consent/list_new.html",
            place,
            tab="optouts",
            problem=problem,
            others=others,
            errors=errors,
            typed=typed,
            hashes=HASH_NAMES,
        )

    async def _page(
        self,
        request: AnyRequest,
        place: Place,
        held: OptOutList,
        *,
        problem: Problem | None = None,
        typed: Mapping[str, str] | None = None,
        asked: str = "",
        found: list[Finding] | None = None,
        history: list[PastEntry] | None = None,
        told: str = "",
    ) -> Response[str]:
        brand_id, reference = place.brand.id, str(held.id)
        said = request.query_params.get("cause", "")
        cause = cast("Cause", said) if said in CAUSES else None
        entries = (
            await self._entries.entries(brand_id, reference, limit=ENTRIES_SHOWN + 1, cause=cause)
            if held.holds_entries
            else []
        )
        members = await self._lists.known(brand_id, {str(one) for one in held.members}) if held.members else []
        return _unkept(
            self._door.page(
                request,
                "consent/list.html",
                place,
                tab="optouts",
                problem=problem,
                held=held,
                channels=channels_in(held),
                members=members,
                entries=entries[:ENTRIES_SHOWN],
                there_are_more=len(entries) > ENTRIES_SHOWN,
                cause=cause,
                jobs=await self._jobs.page(brand_id, reference=reference, limit=JOBS_SHOWN),
                typed=typed or {},
                asked=asked,
                found=found,
                history=history or [],
                names={held.id: held.name, **{one.id: one.name for one in members}},
                told=told,
                **_WORDS,
            ),
            asked or bool(typed),
        )


def _unkept(page: Response[str], has_address: object) -> Response[str]:
    """The page, which no cache keeps where it says whom somebody looked for."""
    if has_address:
        page.headers["Cache-Control"] = "no-store"
    return page


_BLANK = {"kind": "plain", "hash": "md5", "email": "yes", "sms": "yes", "enabled": "yes"}
_PLACES = {f"/{name}": name for name in ("name", "kind", "hash", "channels", "members", "linked", "expiry_days")}
_WORDS: Mapping[str, Any] = {
    "forms_of_entries": _FORMS,
    "causes": CAUSES,
    "address_chars_max": ADDRESS_CHARS_MAX,
    "note_chars_max": NOTE_CHARS_MAX,
    "reason_chars_max": REASON_CHARS_MAX,
}


def _back(place: Place, list_id: UUID, done: str) -> Redirect:
    return Redirect(f"{place.root}/optouts/lists/{list_id}?done={done}", status_code=303)
