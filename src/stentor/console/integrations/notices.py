"""`/console/brands/…/partners/clients/…/listeners/…`: what a listener was told last, with people masked, and sending it again."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, cast, get_args

import msgspec
from litestar import Response, get, post
from litestar.handlers import HTTPRouteHandler

from stentor.channels.partners.clients import HubClientService
from stentor.clock import Clock
from stentor.console.account import read_id
from stentor.console.brand import HERE, BrandDoor, Place, id_in
from stentor.console.visits import FORM_BYTES_MAX, AnyRequest
from stentor.errors import Conflict, NotFound, Problem
from stentor.integrations.listeners.model import NOTICE_DAYS_MAX, Listener, Notice, NoticeState
from stentor.integrations.listeners.service import ListenerService

SHOWN = 50

_PATH = f"{HERE}/partners/clients/{{client_id:str}}/listeners/{{listener_id:str}}"
_STATES: tuple[NoticeState, ...] = get_args(NoticeState)
_TONES: Mapping[NoticeState, str] = {"delivered": "go", "given_up": "bad", "missed": "hold", "waiting": "open"}
_MASK = "•••"
# What of a notice is about a run and nobody in it, in lower case.
_SHOWN_KEYS = frozenset(
    {"eventtypeid", "timestamp", "campaignid", "channelid", "templateid", "clearancerequiredby", "event", "campaign"}
    | {"channel", "execution_id", "number", "reason", "at", "issuccess", "requestid", "error"}
)


class NoticePages:
    """What listeners were told. Whoever is in the brand sees it, without the people in it; admins send it again."""

    def __init__(self, door: BrandDoor, *, listeners: ListenerService, clients: HubClientService, clock: Clock) -> None:
        self._door = door
        self._listeners = listeners
        self._clients = clients
        self._clock = clock

    def handlers(self) -> list[HTTPRouteHandler]:
        """The handlers, to be mounted at `/console`."""

        @get(_PATH, include_in_schema=False)
        async def shown(request: AnyRequest) -> Response[str]:
            place = await self._door.inside(request)
            return await self._page(request, place, await self._listener(request, place))

        @post(
            f"{_PATH}/notices/{{notice_id:str}}/replay",
            include_in_schema=False,
            request_max_body_size=FORM_BYTES_MAX,
            status_code=200,
        )
        async def replay(request: AnyRequest) -> Response[str]:
            place, _ = await self._door.posted(request, "admin")
            listener = await self._listener(request, place)
            now = self._clock.now()
            try:
                replayed = await self._listeners.replay(
                    place.brand.id,
                    listener.id,
                    since=now - timedelta(days=NOTICE_DAYS_MAX),
                    until=now,
                    delivered_too=True,
                    notice_id=read_id(request.path_params["notice_id"]),
                )
            except Conflict as problem:
                return await self._page(request, place, listener, problem=problem)
            if not replayed:
                raise NotFound("This listener has no such notice, or it is on its way still.")
            return await self._page(
                request, place, listener, told="The notice is on its way again, with its bytes and its id."
            )

        return [shown, replay]

    async def _listener(self, request: AnyRequest, place: Place) -> Listener:
        """The listener of the path, which is that client's. Raises NotFound."""
        found = await self._listeners.get(place.brand.id, read_id(request.path_params["listener_id"]))
        if found.client_id != read_id(request.path_params["client_id"]):
            raise NotFound("This client has no such listener.")
        return found

    async def _page(
        self,
        request: AnyRequest,
        place: Place,
        listener: Listener,
        *,
        problem: Problem | None = None,
        told: str = "",
    ) -> Response[str]:
        brand_id, said = place.brand.id, request.query_params.get("state", "")
        state = cast("NoticeState", said) if said in _STATES else None
        before = id_in(request.query_params, "before")
        found = await self._listeners.notices(brand_id, listener.id, state=state, before=before, limit=SHOWN + 1)
        return self._door.page(
            request,
            "integrations/notices.html",
            place,
            tab="partners",
            problem=problem,
            listener=listener,
            client=await self._clients.get(brand_id, listener.client_id),
            notices=[(one, masked(one)) for one in found[:SHOWN]],
            more=found[SHOWN - 1].id if len(found) > SHOWN else None,
            is_first=before is None,
            state=state,
            states=_STATES,
            tones=_TONES,
            may_admin=place.may("admin"),
            told=told,
        )


def masked(notice: Notice) -> str:
    """The body of a notice, a line for each field; what names or tells of a person is masked."""
    try:
        body = msgspec.json.decode(notice.body)
    except msgspec.DecodeError:
        return _MASK
    return msgspec.json.format(msgspec.json.encode(_without_people("", body)), indent=1).decode()


def _without_people(name: str, value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _without_people(str(key), inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_without_people(name, inner) for inner in value]
    return value if value is None or name.lower() in _SHOWN_KEYS else _MASK
