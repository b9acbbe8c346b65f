"""What connectors run: the hubs' campaigns, and rows of their lists that no customer was made of."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

import msgspec
from msgspec import Meta

from stentor.api.connectors import connectors
from stentor.api.paging import Listing, ListQuery, Walk, listing
from stentor.api.request import ApiRequest, Caller
from stentor.integrations.connector.model import ConnectorRun, RefusedRow, RunState


class ConnectorRunBody(msgspec.Struct, frozen=True):
    """A campaign of the hub that is executed here. Of `rows` that were read `people` are taken in, each once."""

    id: UUID
    campaign_number: int
    channel_number: int
    state: Annotated[
        RunState,
        Meta(
            description="`noticed` until it is pulled, `running` while figures are pushed; `failed`: see `last_error`."
        ),
    ]
    noticed_at: datetime
    cancelled_at: datetime | None
    pulled_at: datetime | None
    started_at: datetime | None
    pushed_at: datetime | None
    push_until: datetime | None
    rows: int
    people: int
    refused: Annotated[
        int,
        Meta(
            description="Rows that no customer was made of; `…/refused` lists them. The hub is told that they were dropped."
        ),
    ]
    revoked: Annotated[
        int, Meta(description="People whom the hub revoked after the pull: who was not written to by then is skipped.")
    ]
    last_error: str
    executions: tuple[UUID, ...]

    @classmethod
    def of(cls, one: ConnectorRun) -> "ConnectorRunBody":
        return cls(
            one.id,
            one.campaign_number,
            one.channel_number,
            one.state,
            one.noticed_at,
            one.cancelled_at,
            one.pulled_at,
            one.started_at,
            one.pushed_at,
            one.push_until,
            one.rows_read,
            one.people,
            one.refused,
            one.revoked,
            one.last_error,
            one.executions,
        )


class RefusedRowBody(msgspec.Struct, frozen=True):
    """A row of the hub's list that no customer was made of. `row` is its place on the list, from 0 on."""

    row: int
    external_id: Annotated[
        str, Meta(description="The `CustomerID` as the hub says it; of a very long one the beginning.")
    ]
    template_number: int
    why: str
    told: Annotated[
        bool, Meta(description="Whether the hub was told, or does not have to be: a row without an id names nobody.")
    ]

    @classmethod
    def of(cls, one: RefusedRow) -> "RefusedRowBody":
        return cls(one.row_number, one.external_id, one.template_number, one.why, one.is_told)


@connectors.get("/connectors/{connector_id:str}/runs", scope="admin")
async def list_connector_runs(
    request: ApiRequest, caller: Caller, connector_id: UUID, query: ListQuery
) -> Listing[ConnectorRunBody]:
    """List the hub's campaigns that run or ran here, newest first, each with its executions. They are kept for 60 days."""

    async def fetch(before: UUID | None, limit: int) -> list[ConnectorRun]:
        return await request.services.connectors.runs(caller.brand_id, connector_id, before=before, limit=limit)

    return await listing(request, query, Walk(fetch, lambda one: one.id, UUID), ConnectorRunBody.of)


@connectors.get("/connectors/{connector_id:str}/runs/{run_id:str}/refused", scope="admin")
async def list_refused_rows(
    request: ApiRequest, caller: Caller, connector_id: UUID, run_id: UUID, query: ListQuery
) -> Listing[RefusedRowBody]:
    """List the rows of a hub's list that no customer was made of, in its order, each with why."""

    async def fetch(after: int | None, limit: int) -> list[RefusedRow]:
        place = -1 if after is None else after
        return await request.services.connectors.refused(
            caller.brand_id, connector_id, run_id, after=place, limit=limit
        )

    return await listing(request, query, Walk(fetch, lambda one: one.row_number, int), RefusedRowBody.of)
