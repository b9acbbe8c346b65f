"""`/console/brands/…/settings/test-recipients`: whom test sends may go to."""

from collections.abc import Mapping

from litestar import Response, get, post
from litestar.handlers import HTTPRouteHandler
from litestar.response import Redirect

from stentor.accounts.test_recipients import TEST_RECIPIENTS_MAX, TestRecipientService
from stentor.console.account import read_id
from stentor.console.brand import BrandDoor, Place
from stentor.console.settings.sections import SETTINGS, settings_page
from stentor.console.visits import FORM_BYTES_MAX, AnyRequest
from stentor.errors import Conflict, Invalid, Problem, QuotaExceeded, RateLimited

_AT_THE_FORM = (Conflict, Invalid, QuotaExceeded, RateLimited)
_PATH = f"{SETTINGS}/test-recipients"
_ONE = f"{_PATH}/{{recipient_id:str}}"
_TOLD = {
    "added": "Added.",
    "confirmed": "Confirmed: messages of real senders may go there.",
    "removed": "Removed. No test goes there from now on.",
}


class TestRecipientPages:
    """Test recipients. Whoever is in the brand sees them, admins add and remove them, and who may write confirms them."""

    def __init__(self, door: BrandDoor, recipients: TestRecipientService) -> None:
        self._door = door
        self._recipients = recipients

    def handlers(self) -> list[HTTPRouteHandler]:
        """The handlers, to be mounted at `/console`."""

        @get(_PATH, include_in_schema=False)
        async def shown(request: AnyRequest) -> Response[str]:
            place = await self._door.inside(request)
            return await self._page(request, place, told=_TOLD.get(request.query_params.get("done", ""), ""))

        @post(_PATH, include_in_schema=False, request_max_body_size=FORM_BYTES_MAX, status_code=200)
        async def add(request: AnyRequest) -> Response[str] | Redirect:
            place, form = await self._door.posted(request, "admin")
            try:
                await self._recipients.add(place.brand, form.get("address", ""), form.get("name", ""))
            except _AT_THE_FORM as problem:
                return await self._page(request, place, problem=problem, typed=form)
            return _back(place, "added")

        @post(f"{_ONE}/confirm", include_in_schema=False, request_max_body_size=FORM_BYTES_MAX, status_code=200)
        async def confirm(request: AnyRequest) -> Response[str] | Redirect:
            place, form = await self._door.posted(request, "write")
            try:
                await self._recipients.confirm(
                    place.brand.id, read_id(request.path_params["recipient_id"]), form.get("code", "")
                )
            except Invalid as problem:
                return await self._page(request, place, problem=problem)
            return _back(place, "confirmed")

        @post(f"{_ONE}/remove", include_in_schema=False, request_max_body_size=FORM_BYTES_MAX)
        async def remove(request: AnyRequest) -> Redirect:
            place, _ = await self._door.posted(request, "admin")
            await self._recipients.remove(place.brand.id, read_id(request.path_params["recipient_id"]))
            return _back(place, "removed")

        return [shown, add, confirm, remove]

    async def _page(
        self,
        request: AnyRequest,
        place: Place,
        *,
        problem: Problem | None = None,
        typed: Mapping[str, str] | None = None,
        told: str = "",
    ) -> Response[str]:
        return settings_page(
            self._door,
            request,
            "test_recipients.html",
            place,
            section="test-recipients",
            problem=problem,
            recipients=await self._recipients.page(place.brand.id, after=None, limit=TEST_RECIPIENTS_MAX),
            sends_mail=self._recipients.sends_mail,
            typed=typed or {},
            told=told,
        )


def _back(place: Place, done: str) -> Redirect:
    return Redirect(f"{place.root}/settings/test-recipients?done={done}", status_code=303)
