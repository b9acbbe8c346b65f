"""`/console/brands/…/settings/senders`: the configured ways to deliver, how each fares, and a test of it."""

from collections.abc import Mapping

from litestar import Response, get, post
from litestar.handlers import HTTPRouteHandler
from litestar.response import Redirect

from stentor.accounts.test_recipients import TEST_RECIPIENTS_MAX, TestRecipientService
from stentor.channels.model import SECRET_CHARS_MAX, Sender, SenderKind
from stentor.channels.public_address import NotReachable
from stentor.channels.service import PAGE_MAX, SenderService
from stentor.console.account import read_id
from stentor.console.brand import BrandDoor, Place, id_in
from stentor.console.fields import errors_at
from stentor.console.settings import sender_form
from stentor.console.settings.sections import SETTINGS, settings_page
from stentor.console.visits import FORM_BYTES_MAX, AnyRequest
from stentor.errors import Conflict, Forbidden, Invalid, Problem, RateLimited
from stentor.report.sender_health import SenderHealthService
from stentor.triggers.sender_tests import SenderTested, SenderTestService

_AT_THE_FORM = (Conflict, Forbidden, Invalid, NotReachable)
_AT_THE_TEST = (*_AT_THE_FORM, RateLimited)
_LIST = f"{SETTINGS}/senders"
_ONE = f"{_LIST}/{{sender_id:str}}"
_TOLD = {
    "made": "The sender is made. Campaigns go by it once they are published again.",
    "saved": "Saved. Workers go by it within a second.",
    "paused": "Paused: its messages wait from the next wave on.",
    "resumed": "Resumed: what waited goes on.",
    "deleted": "Deleted. What still waited for it goes on waiting.",
}


class SenderPages:
    """Senders. Whoever is in the brand sees them; who may write makes, changes, pauses and tests them."""

    def __init__(
        self,
        door: BrandDoor,
        *,
        senders: SenderService,
        health: SenderHealthService,
        tests: SenderTestService,
        recipients: TestRecipientService,
    ) -> None:
        self._door = door
        self._senders = senders
        self._health = health
        self._tests = tests
        self._recipients = recipients

    def handlers(self) -> list[HTTPRouteHandler]:
        """The handlers, to be mounted at `/console`."""
        return [*self._looking(), *self._making(), *self._pausing(), self._testing()]

    def _looking(self) -> list[HTTPRouteHandler]:
        @get(_LIST, include_in_schema=False)
        async def listed(request: AnyRequest) -> Response[str]:
            place = await self._door.inside(request)
            after = id_in(request.query_params, "after")
            found = await self._senders.page(place.brand.id, after=after, limit=PAGE_MAX)
            return settings_page(
                self._door,
                request,
                "senders.html",
                place,
                section="senders",
                senders=found,
                more=found[-1].id if len(found) == PAGE_MAX else None,
                is_first=after is None,
                kinds=sender_form.KINDS,
                told=_told(request),
            )

        @get(f"{_LIST}/new", include_in_schema=False)
        async def new(request: AnyRequest) -> Response[str]:
            place = await self._door.inside(request, "write")
            kind = sender_form.kind_of(request.query_params.get("kind", "smtp"))
            return self._form(request, place, kind, sender_form.blank(kind))

        @get(_ONE, include_in_schema=False)
        async def one(request: AnyRequest) -> Response[str]:
            place = await self._door.inside(request)
            sender = await self._sender(request, place)
            return await self._page(request, place, sender, told=_told(request))

        return [listed, new, one]

    def _making(self) -> list[HTTPRouteHandler]:
        @post(_LIST, include_in_schema=False, request_max_body_size=FORM_BYTES_MAX, status_code=200)
        async def make(request: AnyRequest) -> Response[str] | Redirect:
            place, form = await self._door.posted(request, "write")
            kind = sender_form.kind_of(form.get("kind", "smtp"))
            try:
                made = await self._senders.create(place.brand.id, sender_form.new_sender(kind, form))
            except _AT_THE_FORM as problem:
                return self._form(request, place, kind, form, problem=problem)
            return Redirect(f"{place.root}/settings/senders/{made.id}?done=made", status_code=303)

        @post(_ONE, include_in_schema=False, request_max_body_size=FORM_BYTES_MAX, status_code=200)
        async def change(request: AnyRequest) -> Response[str] | Redirect:
            place, form = await self._door.posted(request, "write")
            sender = await self._sender(request, place)
            try:
                await self._senders.update(place.brand.id, sender.id, sender_form.changes(sender, form))
            except _AT_THE_FORM as problem:
                return await self._page(request, place, sender, problem=problem, typed=form)
            return _back(place, sender, "saved")

        @post(f"{_ONE}/delete", include_in_schema=False, request_max_body_size=FORM_BYTES_MAX, status_code=200)
        async def delete(request: AnyRequest) -> Response[str] | Redirect:
            place, _ = await self._door.posted(request, "write")
            sender = await self._sender(request, place)
            try:
                await self._senders.delete(place.brand.id, sender.id)
            except Conflict as problem:
                return await self._page(request, place, sender, problem=problem)
            return Redirect(f"{place.root}/settings/senders?done=deleted", status_code=303)

        return [make, change, delete]

    def _pausing(self) -> list[HTTPRouteHandler]:
        @post(f"{_ONE}/pause", include_in_schema=False, request_max_body_size=FORM_BYTES_MAX)
        async def pause(request: AnyRequest) -> Redirect:
            place, _ = await self._door.posted(request, "write")
            sender = await self._senders.pause(place.brand.id, read_id(request.path_params["sender_id"]))
            return _back(place, sender, "paused")

        @post(f"{_ONE}/resume", include_in_schema=False, request_max_body_size=FORM_BYTES_MAX, status_code=200)
        async def resume(request: AnyRequest) -> Response[str] | Redirect:
            place, _ = await self._door.posted(request, "write")
            sender = await self._sender(request, place)
            try:
                await self._senders.resume(place.brand.id, sender.id)
            except Conflict as problem:
                return await self._page(request, place, sender, problem=problem)
            return _back(place, sender, "resumed")

        return [pause, resume]

    def _testing(self) -> HTTPRouteHandler:
        @post(f"{_ONE}/test", include_in_schema=False, request_max_body_size=FORM_BYTES_MAX, status_code=200)
        async def test(request: AnyRequest) -> Response[str]:
            place, form = await self._door.posted(request, "write")
            sender = await self._sender(request, place)
            try:
                tested = await self._tests.send(place.brand, sender.id, form.get("to", ""))
            except _AT_THE_TEST as problem:
                return await self._page(request, place, sender, problem=problem)
            return await self._page(request, place, sender, tested=tested)

        return test

    async def _sender(self, request: AnyRequest, place: Place) -> Sender:
        """The sender of the path. Raises NotFound."""
        return await self._senders.get(place.brand.id, read_id(request.path_params["sender_id"]))

    def _form(
        self,
        request: AnyRequest,
        place: Place,
        kind: SenderKind,
        texts: Mapping[str, str],
        *,
        problem: Problem | None = None,
    ) -> Response[str]:
        """The form of a sender that is not there yet."""
        errors, others = errors_at(problem, sender_form.places(kind))
        return settings_page(
            self._door,
            request,
            "sender_new.html",
            place,
            section="senders",
            problem=problem,
            others=others,
            kind=kind,
            kinds=sender_form.KINDS,
            fields=sender_form.views(kind, texts, errors, is_new=True),
            flags=sender_form.flags(kind, texts),
            secret=sender_form.secret_of(kind),
            secret_error=errors.get("secret", ""),
            has_secret=False,
            secret_chars_max=SECRET_CHARS_MAX,
        )

    async def _page(
        self,
        request: AnyRequest,
        place: Place,
        sender: Sender,
        *,
        problem: Problem | None = None,
        typed: Mapping[str, str] | None = None,
        tested: SenderTested | None = None,
        told: str = "",
    ) -> Response[str]:
        brand_id = place.brand.id
        texts = sender_form.fields_of(sender) if typed is None else typed
        errors, others = errors_at(problem if typed is not None else None, sender_form.places(sender.kind))
        recipients = await self._recipients.page(brand_id, after=None, limit=TEST_RECIPIENTS_MAX)
        return settings_page(
            self._door,
            request,
            "sender.html",
            place,
            section="senders",
            problem=problem,
            others=others,
            is_typed=typed is not None,
            sender=sender,
            kinds=sender_form.KINDS,
            fields=sender_form.views(sender.kind, texts, errors, is_new=False),
            flags=sender_form.flags(sender.kind, texts),
            secret=sender_form.secret_of(sender.kind),
            secret_error=errors.get("secret", ""),
            has_secret=sender.has_secret,
            secret_chars_max=SECRET_CHARS_MAX,
            health=await self._health.of(brand_id, sender.id),
            recipients=recipients,
            tested=tested,
            told=told,
        )


def _told(request: AnyRequest) -> str:
    return _TOLD.get(request.query_params.get("done", ""), "")


def _back(place: Place, sender: Sender, done: str) -> Redirect:
    return Redirect(f"{place.root}/settings/senders/{sender.id}?done={done}", status_code=303)
