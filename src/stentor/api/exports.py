"""Exports of an execution: its books and its people, CSV with a header or NDJSON, streamed."""

import csv
import io
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from typing import Literal, TypeAlias, TypeVar
from uuid import UUID

import msgspec
from litestar.response import Stream

from stentor.api.channels import ChannelName, name_of
from stentor.api.recipients import (
    ReasonName,
    Recipient,
    SendStateName,
    as_recipient,
    narrowed_to,
    recipients,
    state_name,
)
from stentor.api.remedies import executions
from stentor.api.request import ApiRequest, Caller
from stentor.domain.vocabulary import ChannelKind, Reason, SendState
from stentor.errors import Unavailable
from stentor.forms import STREAM
from stentor.report.recipients import RecipientRow
from stentor.report.reconciliations import Line
from stentor.report.tally import AUDIENCE

R = TypeVar("R")

Format: TypeAlias = Literal["csv", "ndjson"]

_MEDIA: dict[Format, str] = {"csv": "text/csv", "ndjson": "application/x-ndjson"}


class ExportQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Which people are exported."""

    state: SendStateName | None = None
    reason: ReasonName | None = None
    channel: ChannelName | None = None


class BooksLine(msgspec.Struct, frozen=True):
    """How many sends one reconciliation found in one place, and how many the counters said."""

    reconciliation: int
    channel: ChannelName
    state: SendStateName | Literal["audience"]
    reason: str
    sends: int
    counted: int


@executions.get("/executions/{execution_id:str}/reconciliations.csv", scope="read", media="text/csv")
async def download_reconciliations(request: ApiRequest, caller: Caller, execution_id: UUID) -> Stream:
    """Download the books of all ends of an execution as CSV, one line for each channel, state and reason."""
    return await _books(request, caller, execution_id, "csv")


@executions.get("/executions/{execution_id:str}/reconciliations.ndjson", scope="read", media="application/x-ndjson")
async def download_reconciliations_as_ndjson(request: ApiRequest, caller: Caller, execution_id: UUID) -> Stream:
    """Download the books of all ends of an execution as NDJSON, one line for each channel, state and reason."""
    return await _books(request, caller, execution_id, "ndjson")


@recipients.get("/executions/{execution_id:str}/recipients.csv", scope="read", media="text/csv", problems=[Unavailable])
async def download_recipients(request: ApiRequest, caller: Caller, execution_id: UUID, query: ExportQuery) -> Stream:
    """Download an execution's people as CSV, one line per person and channel, all as they were at one moment.

    It is made for programs: a spreadsheet may take an external id that begins with `=` for a formula. A download that
    breaks off is not complete; whoever reads nothing for a minute is cut off.
    """
    return await _people(request, caller, execution_id, query, "csv")


@recipients.get(
    "/executions/{execution_id:str}/recipients.ndjson",
    scope="read",
    media="application/x-ndjson",
    problems=[Unavailable],
)
async def download_recipients_as_ndjson(
    request: ApiRequest, caller: Caller, execution_id: UUID, query: ExportQuery
) -> Stream:
    """Download an execution's people as NDJSON, one line per person and channel, all as they were at one moment.

    A download that breaks off is not complete; whoever reads nothing for a minute is cut off.
    """
    return await _people(request, caller, execution_id, query, "ndjson")


async def _books(request: ApiRequest, caller: Caller, execution_id: UUID, fmt: Format) -> Stream:
    pages = request.services.executions.reconciliation_lines(caller.brand_id, execution_id)
    request.scope["state"][STREAM] = pages
    return await _streamed(pages, _books_line, BooksLine.__struct_fields__, fmt, f"reconciliations-{execution_id}")


async def _people(request: ApiRequest, caller: Caller, execution_id: UUID, query: ExportQuery, fmt: Format) -> Stream:
    narrowed = narrowed_to(query.state, query.reason, query.channel)
    partners = await request.services.executions.partner_channels(caller.brand_id, execution_id)
    pages = request.services.executions.export_recipients(caller.brand_id, execution_id, narrowed)
    request.scope["state"][STREAM] = pages

    def show(row: RecipientRow) -> Recipient:
        return as_recipient(row, partners)

    return await _streamed(pages, show, Recipient.__struct_fields__, fmt, f"recipients-{execution_id}")


async def _streamed(
    pages: AsyncGenerator[Sequence[R], None],
    show: Callable[[R], msgspec.Struct],
    columns: Sequence[str],
    fmt: Format,
    name: str,
) -> Stream:
    # The first page before the first byte: what cannot be exported is answered as a problem.
    first: Sequence[R]
    try:
        first = await anext(pages)
    except StopAsyncIteration:
        first = []
    write = _as_csv if fmt == "csv" else _as_ndjson

    async def text() -> AsyncIterator[bytes]:
        yield write([show(row) for row in first], columns)
        async for page in pages:
            yield write([show(row) for row in page], ())

    return Stream(
        text(), media_type=_MEDIA[fmt], headers={"Content-Disposition": f'attachment; filename="{name}.{fmt}"'}
    )


def _as_csv(rows: Sequence[msgspec.Struct], header: Sequence[str]) -> bytes:
    written = io.StringIO()
    writer = csv.writer(written)
    writer.writerows([header] if header else [])
    writer.writerows(msgspec.to_builtins(msgspec.structs.astuple(row)) for row in rows)
    return written.getvalue().encode()


def _as_ndjson(rows: Sequence[msgspec.Struct], _header: Sequence[str]) -> bytes:
    return msgspec.json.Encoder().encode_lines(rows)


def _books_line(line: Line) -> BooksLine:
    return BooksLine(
        line.number,
        name_of(ChannelKind(line.channel)),
        "audience" if line.state == AUDIENCE else state_name(SendState(line.state)),
        Reason(line.reason).label,
        line.sends,
        line.counted,
    )
