"""What can be ordered on the page of an execution: pause, resume, cancel, try the failed again, decide about doubt.

Each names how many it is for. Above `TYPED_ABOVE` people their number has to be typed, and it is done for no more than were named.
"""

import re
from collections.abc import Mapping

from litestar import Response, post
from litestar.handlers import HTTPRouteHandler
from litestar.response import Redirect

from stentor.console.account import read_id
from stentor.console.brand import BrandDoor, Place
from stentor.console.running.execution import ONE, TYPED_ABOVE, ExecutionPage
from stentor.console.running.view import retryable, unknown, waiting
from stentor.console.visits import FORM_BYTES_MAX, AnyRequest
from stentor.errors import Conflict, Invalid, NotFound, Problem, Unauthenticated
from stentor.executions.remedies import TREATMENTS, Action
from stentor.executions.service import ExecutionService

_ORDERS = frozenset({"pause", "resume", "cancel"})
_ACTIONS: Mapping[str, Action] = {
    "retry": "retry_failed",
    "resend": "resend",
    "handed-over": "settle_as_handed_over",
    "failed": "settle_as_failed",
}
_SEPARATORS = re.compile(r"[\s,.'’]+")


class ActingPages:
    """Takes the orders that the page of an execution has buttons for."""

    def __init__(self, door: BrandDoor, executions: ExecutionService, page: ExecutionPage) -> None:
        self._door = door
        self._executions = executions
        self._page = page

    def handlers(self) -> list[HTTPRouteHandler]:
        """The handlers, to be mounted at `/console`."""

        @post(f"{ONE}/do", include_in_schema=False, request_max_body_size=FORM_BYTES_MAX)
        async def do(request: AnyRequest) -> Response[str] | Redirect:
            place, form = await self._door.posted(request, "read")
            execution_id = read_id(request.path_params["execution_id"])
            try:
                await self._do(request, place, form)
            except (NotFound, Unauthenticated):
                raise
            except Problem as problem:
                return await self._page.shown(request, place, execution_id, problem=problem)
            return Redirect(f"{place.root}/executions/{execution_id}", status_code=303)

        return [do]

    async def _do(self, request: AnyRequest, place: Place, form: Mapping[str, str]) -> None:
        # A button says what it does and for how many: `cancel 50288`.
        order, _, named = form.get("do", "").partition(" ")
        brand_id, execution_id = place.brand.id, read_id(request.path_params["execution_id"])
        if order in _ORDERS:
            await self._door.inside(request, "write")
            if order == "cancel":
                overview = await self._executions.overview(brand_id, execution_id)
                _check_typed(named, form.get("typed-cancel", ""), waiting(overview))
            changes = {
                "pause": self._executions.pause,
                "resume": self._executions.resume,
                "cancel": self._executions.cancel,
            }
            await changes[order](brand_id, execution_id)
        elif order in _ACTIONS:
            action = _ACTIONS[order]
            # As the API: what sends again needs to be allowed to send, what decides to change.
            if TREATMENTS[action].sends_again:
                await self._door.inside(request, "run")
            if action != "retry_failed":
                await self._door.inside(request, "write")
            overview = await self._executions.overview(brand_id, execution_id)
            is_retry = action == "retry_failed"
            typed = form.get("typed-retry" if is_retry else "typed-resolve", "")
            _check_typed(named, typed, retryable(overview) if is_retry else unknown(overview))
            await self._executions.remedy(brand_id, execution_id, action, asked_by=place.who.user.email)
        else:
            await self._door.inside(request, "write")
            raise Invalid("There is no such order. Load the page anew.")


def _check_typed(named: str, typed: str, people: int) -> None:
    """Raises Invalid where the number that was named has to be typed and was not, Conflict where it is for more by now."""
    said = _number(named)
    if said is None or people > said:
        raise Conflict(f"It is for {people:,} by now, more than the page said. Look at it again.")
    if said > TYPED_ABOVE and _number(typed) != said:
        raise Invalid.field("/typed", "typed", f"Type {said:,} to confirm that you mean as many.")


def _number(text: str) -> int | None:
    digits = _SEPARATORS.sub("", text)
    return int(digits) if digits.isascii() and digits.isdigit() and len(digits) < 19 else None
