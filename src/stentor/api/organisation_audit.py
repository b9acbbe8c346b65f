"""The audit log of an organisation: who changed what in it and in its groups, when, from where."""

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

import msgspec
from litestar.response import Stream
from msgspec import Meta

from stentor.accounts.audit_files import AuditFormat
from stentor.accounts.audit_model import AuditEntry
from stentor.api.audit import (
    Actor,
    AuditEntryBody,
    AuditExportQuery,
    AuditQuery,
    AuditTableQuery,
    Thing,
    exported,
    narrowed_by,
)
from stentor.api.noun import Noun
from stentor.api.organisations import PREFIX, OrganisationCaller, organisation_access, organisation_pace
from stentor.api.paging import Listing, Walk, listing
from stentor.api.request import ApiRequest
from stentor.errors import Unavailable

organisation_audit = Noun(
    "organisation-audit",
    "Who changed what in an organisation: its members, invitations and keys, and all that its groups' own audit logs have. "
    "Needs a key of the whole organisation with the scope `admin`, and no test key.",
    prefix=PREFIX,
    access=organisation_access,
    pace=organisation_pace,
)


class OrganisationAuditEntry(msgspec.Struct, frozen=True):
    """One change, as a group's audit log shows it, and in which group."""

    number: int
    at: datetime
    group_id: Annotated[UUID | None, Meta(description="null for what belongs to the organisation alone.")]
    action: Annotated[str, Meta(description="`member.changed`, `campaign.updated`, …")]
    actor: Actor
    thing: Thing
    before: dict[str, Any] | None
    after: dict[str, Any] | None

    @classmethod
    def of(cls, entry: AuditEntry) -> "OrganisationAuditEntry":
        body = AuditEntryBody.of(entry)
        return cls(body.number, body.at, entry.brand_id, body.action, body.actor, body.thing, body.before, body.after)


@organisation_audit.get("/{organisation_id:str}/audit", scope="admin")
async def list_organisation_audit_entries(
    request: ApiRequest, caller: OrganisationCaller, query: AuditQuery
) -> Listing[OrganisationAuditEntry]:
    """List what was changed in the organisation and its groups, the latest first."""
    narrowed = narrowed_by(query)

    async def fetch(before: int | None, limit: int) -> list[AuditEntry]:
        log = request.services.audit
        return await log.page_of_organisation(caller.organisation.id, narrowed, before_number=before, limit=limit)

    return await listing(request, query, Walk(fetch, lambda entry: entry.number, int), OrganisationAuditEntry.of)


@organisation_audit.get(
    "/{organisation_id:str}/audit/export.ndjson", scope="admin", media="application/x-ndjson", problems=[Unavailable]
)
async def export_organisation_audit_entries(
    request: ApiRequest, caller: OrganisationCaller, query: AuditExportQuery
) -> Stream:
    """Download what was changed in the organisation and its groups, the oldest first, as NDJSON, as it is at one moment.

    A download that breaks off is not complete; whoever reads nothing for a minute is cut off.
    """
    return await _of_organisation(request, caller, query, "ndjson")


@organisation_audit.get(
    "/{organisation_id:str}/audit/export.csv", scope="admin", media="text/csv", problems=[Unavailable]
)
async def export_organisation_audit_entries_as_csv(
    request: ApiRequest, caller: OrganisationCaller, query: AuditTableQuery
) -> Stream:
    """Download the same as CSV, for programs or, with `spreadsheet`, for people."""
    return await _of_organisation(request, caller, query, "spreadsheet" if query.spreadsheet else "csv")


async def _of_organisation(
    request: ApiRequest, caller: OrganisationCaller, query: AuditExportQuery, fmt: AuditFormat
) -> Stream:
    pages = request.services.audit.export(narrowed_by(query), organisation_id=caller.organisation.id)
    return await exported(request, pages, caller.organisation.id, fmt)
