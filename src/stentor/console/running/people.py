"""`…/executions/…/people`: what became of each person, and why; as a list, as CSV, and one by one with their message."""

import csv
import io
import re
from collections.abc import AsyncIterator, Iterable, Mapping
from urllib.parse import quote, unquote, urlencode
from uuid import UUID, uuid4

from litestar import Response, get
from litestar.handlers import HTTPRouteHandler
from litestar.response import Redirect, Stream

from stentor.channels.sandbox.content import content_of
from stentor.console.account import read_id
from stentor.console.brand import BrandDoor, Place
from stentor.console.framed import framed
from stentor.console.running.execution import ONE
from stentor.console.running.view import OUTCOMES, Ledger
from stentor.console.visits import AnyRequest
from stentor.console.words import reason_words
from stentor.domain.vocabulary import CHANNEL_LABELS, ChannelKind, Reason, SendState
from stentor.errors import NotFound
from stentor.executions.service import ExecutionService, Progress
from stentor.executions.showing import MessageViews, ShownMessage
from stentor.forms import STREAM
from stentor.integrations.pulls.service import PullService
from stentor.report.recipients import RecipientFilter, RecipientRow

SHOWN = 50
_LOOKS = 2
"""How often a page looks on where nobody was found yet: a few tens of milliseconds each."""

_COLUMNS = ("external_id", "channel", "state", "reason", "tries", "doubts", "decided_at", "partner_channel")
_POSITION = re.compile(r"([0-9a-f]{32})-(\d{1,5})\Z")
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


class PeoplePages:
    """The people of an execution."""

    def __init__(
        self,
        door: BrandDoor,
        *,
        executions: ExecutionService,
        messages: MessageViews,
        pulls: PullService,
    ) -> None:
        self._door = door
        self._executions = executions
        self._messages = messages
        self._pulls = pulls

    def handlers(self) -> list[HTTPRouteHandler]:
        """The handlers, to be mounted at `/console`."""

        @get(f"{ONE}/people", include_in_schema=False)
        async def listed(request: AnyRequest) -> Response[str]:
            return await self._list(request, *await self._at(request))

        @get(f"{ONE}/people.csv", include_in_schema=False)
        async def downloaded(request: AnyRequest) -> Stream:
            return await self._download(request, *await self._at(request))

        @get(f"{ONE}/person", include_in_schema=False)
        async def found(request: AnyRequest) -> Response[str] | Redirect:
            return await self._found(request, *await self._at(request))

        @get(f"{ONE}/people/{{external_id:str}}", include_in_schema=False)
        async def person(request: AnyRequest) -> Response[str]:
            return await self._person(request, *await self._at(request))

        @get(f"{ONE}/people/{{external_id:str}}/{{channel:str}}", include_in_schema=False)
        async def message(request: AnyRequest) -> Response[str]:
            return await self._frame(request, *await self._at(request))

        return [listed, downloaded, found, person, message]

    async def _at(self, request: AnyRequest) -> tuple[Place, UUID]:
        return await self._door.inside(request), read_id(request.path_params["execution_id"])

    async def _list(self, request: AnyRequest, place: Place, execution_id: UUID) -> Response[str]:
        asked = _asked(request.query_params)
        narrowed, before = _narrowed(asked), _read(request.query_params.get("after", ""))
        progress = await self._executions.progress(place.brand.id, execution_id)
        rows, after = await self._some(place.brand.id, execution_id, narrowed, before)
        content = await self._executions.content(place.brand.id, progress.execution)
        return self._door.page(
            request,
            "running/people.html",
            place,
            tab="executions",
            here=f"{place.root}/executions/{execution_id}",
            execution=progress.execution,
            name=content.campaign_name,
            rows=rows,
            asked=asked,
            query=_query(asked),
            meant=_count(progress, narrowed),
            states=OUTCOMES,
            channels=[one.channel for one in progress.channels],
            reasons=_reasons(progress),
            is_first=before is None,
            more=None if after is None else _query({**asked, "after": f"{after[0].hex}-{after[1]}"}),
            quote=_quoted,
        )

    async def _some(
        self, brand_id: UUID, execution_id: UUID, narrowed: RecipientFilter, after: tuple[UUID, int] | None
    ) -> tuple[list[RecipientRow], tuple[UUID, int] | None]:
        """Enough for a page, or as many as a few looks find."""
        found: list[RecipientRow] = []
        for _ in range(_LOOKS):
            rows, after = await self._executions.some_recipients(
                brand_id, execution_id, narrowed, after=after, limit=SHOWN - len(found)
            )
            found += rows
            if after is None or len(found) == SHOWN:
                break
        return found, after

    async def _download(self, request: AnyRequest, place: Place, execution_id: UUID) -> Stream:
        asked, brand_id = _asked(request.query_params), place.brand.id
        partners = await self._executions.partner_channels(brand_id, execution_id)
        pages = self._executions.export_recipients(brand_id, execution_id, _narrowed(asked))
        request.scope["state"][STREAM] = pages
        # The first thousand before the first byte: what cannot be exported is answered as a page that says so.
        nobody: list[RecipientRow] = []
        first = await anext(pages, nobody)

        async def text() -> AsyncIterator[bytes]:
            yield _lines([_COLUMNS]) + _lines(_cells(row, partners) for row in first)
            async for rows in pages:
                yield _lines(_cells(row, partners) for row in rows)

        name = "-".join(["people", *(value for value in asked.values() if value), str(execution_id)])
        saved = {"Content-Disposition": f'attachment; filename="{name}.csv"'}
        return Stream(text(), media_type="text/csv", headers=saved)

    async def _found(self, request: AnyRequest, place: Place, execution_id: UUID) -> Response[str] | Redirect:
        """Leads to a person of the execution: whoever was named, or somebody by chance."""
        here = f"{place.root}/executions/{execution_id}"
        said = request.query_params.get("who", "").replace("\x00", "").strip()
        if not said:
            handed = RecipientFilter(state=SendState.HANDED_OVER)
            for narrowed, after in ((handed, (uuid4(), 0)), (handed, None), (RecipientFilter(), None)):
                rows, _ = await self._executions.some_recipients(
                    place.brand.id, execution_id, narrowed, after=after, limit=1
                )
                if rows:
                    said = rows[0].external_id
                    break
        if not said:
            raise NotFound("Nobody is planned yet, so there is no message to look at.")
        return Redirect(f"{here}/people/{_quoted(said)}", status_code=303)

    async def _person(self, request: AnyRequest, place: Place, execution_id: UUID) -> Response[str]:
        external_id, brand_id = _external_id(request), place.brand.id
        explanation = await self._executions.explain(brand_id, execution_id, external_id)
        execution = await self._executions.find(brand_id, execution_id)
        content = await self._executions.content(brand_id, execution)
        messages = await self._messages.of(brand_id, execution_id, external_id)
        return self._door.page(
            request,
            "running/person.html",
            place,
            tab="executions",
            here=f"{place.root}/executions/{execution_id}",
            execution=execution,
            name=content.campaign_name,
            explanation=explanation,
            fetched=await self._pulls.trace(brand_id, execution_id, explanation.customer_id),
            outcomes=OUTCOMES,
            messages={one.channel.label: one for one in messages},
            contents={one.channel.label: content_of(one.channel, one.raw) for one in messages if one.raw is not None},
            customer=f"{place.root}/customers/{_quoted(external_id)}",
            quoted=_quoted(external_id),
        )

    async def _frame(self, request: AnyRequest, place: Place, execution_id: UUID) -> Response[str]:
        external_id = _external_id(request)
        messages = await self._messages.of(place.brand.id, execution_id, external_id)
        shown = next((one for one in messages if one.channel.label == request.path_params["channel"]), None)
        return framed(None if shown is None or shown.raw is None else _html(shown))


def _quoted(external_id: str) -> str:
    return quote(external_id, safe="")


def _external_id(request: AnyRequest) -> str:
    # The edge leaves `%2F` as it was sent, so that a slash in an id parts nothing.
    return unquote(request.path_params["external_id"])


def _html(shown: ShownMessage) -> str | None:
    return None if shown.raw is None else content_of(shown.channel, shown.raw).html


def _asked(query: Mapping[str, str]) -> dict[str, str]:
    """What an address narrows people to; whatever is no state, reason or channel narrows to nothing."""
    labels = {reason.label for reason in Reason if reason.label}
    known = {"state": OUTCOMES.keys(), "reason": labels, "channel": set(CHANNEL_LABELS)}
    return {name: value if (value := query.get(name, "")) in values else "" for name, values in known.items()}


def _narrowed(asked: Mapping[str, str]) -> RecipientFilter:
    return RecipientFilter(
        SendState[asked["state"].upper()] if asked["state"] else None,
        Reason[asked["reason"].upper()] if asked["reason"] else None,
        ChannelKind.named(asked["channel"]) if asked["channel"] else None,
    )


def _count(progress: Progress, narrowed: RecipientFilter) -> int:
    """How many the counters say that there are of them."""
    channels = [one for one in progress.channels if narrowed.channel is None or one.channel == narrowed.channel.label]
    states = list(OUTCOMES) if narrowed.state is None else [narrowed.state.label]
    if narrowed.reason is None:
        ledger = Ledger.of(channels)
        return sum(ledger[state] for state in states)
    with_reasons = [state for state in states if state in {"held", "skipped", "failed", "unknown"}]
    return sum(
        getattr(one, f"{state}_by_reason").get(narrowed.reason.label, 0) for one in channels for state in with_reasons
    )


def _reasons(progress: Progress) -> list[str]:
    """The reasons that somebody of it has, in the order of their words."""
    found = {
        reason
        for one in progress.channels
        for counted in (one.skipped_by_reason, one.held_by_reason, one.failed_by_reason, one.unknown_by_reason)
        for reason in counted
    }
    return sorted(found, key=reason_words)


def _read(text: str) -> tuple[UUID, int] | None:
    """Where a page begins; a text that is no position begins at the first page."""
    match = _POSITION.match(text)
    return None if match is None else (UUID(hex=match[1]), min(int(match[2]), 32_767))


def _query(asked: Mapping[str, str]) -> str:
    return urlencode({name: value for name, value in asked.items() if value})


def _cells(row: RecipientRow, partners: Mapping[tuple[ChannelKind, int], int]) -> tuple[object, ...]:
    return (
        safe_cell(row.external_id),
        row.channel.label,
        row.state.label,
        row.reason.label,
        row.tries,
        row.doubts,
        row.decided_at.isoformat(),
        partners.get((row.channel, row.variant), ""),
    )


def safe_cell(text: str) -> str:
    """The text as spreadsheets take it for text: what they would take for a formula has an apostrophe before it."""
    return f"'{text}" if text.startswith(_FORMULA) else text


def _lines(rows: Iterable[tuple[object, ...]]) -> bytes:
    written = io.StringIO()
    csv.writer(written).writerows(rows)
    return written.getvalue().encode()
