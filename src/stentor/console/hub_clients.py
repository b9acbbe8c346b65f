"""`/console/brands/…/partners/clients`: the credentials of outside services, what they may pull and change, and their listeners."""

from collections.abc import Mapping
from datetime import timedelta
from uuid import UUID

from litestar import Response, get, post
from litestar.handlers import HTTPRouteHandler
from litestar.response import Redirect

from stentor.audience.segments.service import SegmentService
from stentor.channels.partners.attributes import FIELDS, is_field
from stentor.channels.partners.channels import PartnerChannelService
from stentor.channels.partners.clients import HubClientService
from stentor.channels.partners.model import CHANNELS_MAX, ClientPatch, Credentials, HubClient
from stentor.clock import Clock
from stentor.console.account import read_id
from stentor.console.brand import HERE, BrandDoor, Place
from stentor.console.visits import FORM_BYTES_MAX, AnyRequest
from stentor.errors import Conflict, Invalid, NotFound, Problem, Unavailable
from stentor.integrations.listeners.model import NOTICE_DAYS_MAX
from stentor.integrations.listeners.service import ListenerService

GRANTS_FORM_BYTES_MAX = 1024 * 1024
SEEN_SHOWN = 40

_NUMBER_DIGITS = 10
_AT_THE_FORM = (Conflict, Invalid)
_LIST = f"{HERE}/partners/clients"
_ONE = f"{_LIST}/{{client_id:str}}"
_LISTENER = f"{_ONE}/listeners/{{listener_id:str}}"
_TOLD = {
    "saved": "The client is saved. It holds everywhere within a second.",
    "revoked": "The client is revoked. It opens nothing any more.",
    "enabled": "The listener is switched on again.",
}


class HubClientPages:
    """Hub clients in the console. Whoever is in the brand reads them; its admins make and change them, and developers revoke them too."""

    def __init__(
        self,
        door: BrandDoor,
        *,
        clients: HubClientService,
        channels: PartnerChannelService,
        listeners: ListenerService,
        segments: SegmentService,
        clock: Clock,
    ) -> None:
        self._door = door
        self._clients = clients
        self._channels = channels
        self._listeners = listeners
        self._segments = segments
        self._clock = clock

    def handlers(self) -> list[HTTPRouteHandler]:
        """The handlers, to be mounted at `/console`."""
        return [*self._credentials(), *self._what_they_pull(), *self._being_told()]

    def _credentials(self) -> list[HTTPRouteHandler]:
        @post(_LIST, include_in_schema=False, request_max_body_size=FORM_BYTES_MAX, status_code=200)
        async def make(request: AnyRequest) -> Response[str]:
            place, form = await self._door.posted(request, "admin")
            try:
                made = await self._clients.create(
                    place.brand.id, form.get("name", ""), form.get("username", "").strip(), {}
                )
            except _AT_THE_FORM as problem:
                return self._not_made(request, place, form, problem)
            return await self._page(request, place, made.client.id, made=made)

        @post(f"{_ONE}/rotate", include_in_schema=False, request_max_body_size=FORM_BYTES_MAX, status_code=200)
        async def rotate(request: AnyRequest) -> Response[str]:
            place, _ = await self._door.posted(request, "admin")
            client_id = _client_id(request)
            try:
                made = await self._clients.rotate(place.brand.id, client_id)
            except Conflict as problem:
                return await self._page(request, place, client_id, problem=problem)
            return await self._page(request, place, client_id, made=made)

        @post(f"{_ONE}/revoke", include_in_schema=False, request_max_body_size=FORM_BYTES_MAX)
        async def revoke(request: AnyRequest) -> Redirect:
            # As with API tokens: whoever sees a leak ends it.
            place, _ = await self._door.posted(request, "tokens")
            client_id = _client_id(request)
            await self._clients.revoke(place.brand.id, client_id)
            return self._back(place, client_id, "revoked")

        return [make, rotate, revoke]

    def _what_they_pull(self) -> list[HTTPRouteHandler]:
        @get(_ONE, include_in_schema=False)
        async def one(request: AnyRequest) -> Response[str]:
            place = await self._door.inside(request)
            told = _TOLD.get(request.query_params.get("done", ""), "")
            return await self._page(request, place, _client_id(request), told=told)

        @post(_ONE, include_in_schema=False, request_max_body_size=GRANTS_FORM_BYTES_MAX, status_code=200)
        async def change(request: AnyRequest) -> Response[str] | Redirect:
            place, form = await self._door.posted(request, "admin")
            client_id, granted = _client_id(request), _granted(form, "pulls")
            try:
                patch = ClientPatch(name=form.get("name", ""), channels=granted, writes=_granted(form, "writes"))
                await self._clients.update(place.brand.id, client_id, patch)
            except _AT_THE_FORM as problem:
                return await self._page(request, place, client_id, problem=problem, typed=form)
            return self._back(place, client_id, "saved")

        return [one, change]

    def _being_told(self) -> list[HTTPRouteHandler]:
        @post(f"{_LISTENER}/replay", include_in_schema=False, request_max_body_size=FORM_BYTES_MAX, status_code=200)
        async def replay(request: AnyRequest) -> Response[str]:
            place, client_id = await self._at_listener(request)
            now = self._clock.now()
            since = now - timedelta(days=NOTICE_DAYS_MAX)
            try:
                replayed = await self._listeners.replay(
                    place.brand.id, read_id(request.path_params["listener_id"]), since=since, until=now
                )
            except Conflict as problem:
                return await self._page(request, place, client_id, problem=problem)
            told = (
                f"{replayed:,} notices are on their way again." if replayed else "There is none that was not delivered."
            )
            return await self._page(request, place, client_id, told=told)

        @post(f"{_LISTENER}/enable", include_in_schema=False, request_max_body_size=FORM_BYTES_MAX)
        async def enable(request: AnyRequest) -> Redirect:
            place, client_id = await self._at_listener(request)
            await self._listeners.update(place.brand.id, read_id(request.path_params["listener_id"]), enabled=True)
            return self._back(place, client_id, "enabled")

        return [replay, enable]

    async def _at_listener(self, request: AnyRequest) -> tuple[Place, UUID]:
        """Where the listener of the path is, which is that client's. Raises NotFound for any other."""
        place, _ = await self._door.posted(request, "admin")
        listener = await self._listeners.get(place.brand.id, read_id(request.path_params["listener_id"]))
        if listener.client_id != _client_id(request):
            raise NotFound("This client has no such listener.")
        return place, listener.client_id

    def _back(self, place: Place, client_id: UUID, done: str) -> Redirect:
        return Redirect(f"{place.root}/partners/clients/{client_id}?done={done}", status_code=303)

    def _not_made(self, request: AnyRequest, place: Place, form: Mapping[str, str], problem: Problem) -> Response[str]:
        return self._door.page(
            request, "hub_client_new.html", place, tab="partners", problem=problem, typed=form, may_admin=True
        )

    async def _page(
        self,
        request: AnyRequest,
        place: Place,
        client_id: UUID,
        *,
        made: Credentials | None = None,
        problem: Problem | None = None,
        typed: Mapping[str, str] | None = None,
        told: str = "",
    ) -> Response[str]:
        client = await self._clients.get(place.brand.id, client_id)
        channels = await self._channels.page(place.brand.id, limit=CHANNELS_MAX)
        seen = await self._seen(place)
        is_live = client.revoked_at is None
        signing = await self._listeners.signing_secret(place.brand.id, client_id) if made is not None else ""
        shown = self._door.page(
            request,
            "hub_client.html",
            place,
            tab="partners",
            problem=problem,
            client=client,
            name=client.name if typed is None else typed.get("name", ""),
            grants=[(one, *_grant_shown(client, one.number, typed)) for one in channels],
            fields=FIELDS,
            seen=seen[:SEEN_SHOWN],
            unseen=_unseen(client, seen),
            listeners=await self._listeners.page(place.brand.id, client_id=client_id),
            made=made,
            signing=signing,
            is_live=is_live,
            may_change=is_live and place.may("admin"),
            may_revoke=is_live and place.may("tokens"),
            told=told,
        )
        if made is not None:
            # Neither a cache nor the way back through a browser's history shows secrets again.
            shown.headers["Cache-Control"] = "no-store"
        return shown

    async def _seen(self, place: Place) -> list[str]:
        """Attributes that people of the brand have; none where nobody can look now."""
        try:
            return [one.name for one in (await self._segments.seen(place.brand.id)).attributes]
        except Unavailable:
            return []


def _client_id(request: AnyRequest) -> UUID:
    return read_id(request.path_params["client_id"])


def _granted(form: Mapping[str, str], field: str) -> dict[int, tuple[str, ...]]:
    """The channels that are ticked, with the names in that field beside each."""
    numbers = [name.removeprefix("executes-") for name in form if name.startswith("executes-")]
    return {
        int(number): _names(form.get(f"{field}-{number}", ""))
        for number in numbers
        if number.isascii() and number.isdigit() and len(number) <= _NUMBER_DIGITS
    }


def _names(text: str) -> tuple[str, ...]:
    return tuple(name for each in text.split(",") if (name := each.strip()))


def _grant_shown(client: HubClient, number: int, typed: Mapping[str, str] | None) -> tuple[bool, str, str]:
    """Whether the channel is ticked, and what its fields say: as it was typed, or else as it is."""
    if typed is not None:
        return f"executes-{number}" in typed, typed.get(f"pulls-{number}", ""), typed.get(f"writes-{number}", "")
    pulls, writes = (", ".join(named.get(number, ())) for named in (client.channels, client.writes))
    return number in client.channels, pulls, writes


def _unseen(client: HubClient, seen: list[str]) -> list[str]:
    named = [*client.channels.values(), *client.writes.values()]
    granted = dict.fromkeys(name for names in named for name in names if not is_field(name))
    return [name for name in granted if name not in seen] if seen else []
