"""Templates and their versions in the database."""

from collections.abc import Collection
from datetime import datetime
from uuid import UUID

import msgspec
from psycopg.types.json import Jsonb

from stentor.campaigns.model import (
    GeneratorUse,
    Template,
    TemplateContent,
    TemplateSummary,
    TemplateUse,
    VersionSummary,
)
from stentor.campaigns.naming import USERS_NAMED_MAX
from stentor.db.connection import Connection
from stentor.db.sql import QuerySet, Statement
from stentor.domain.vocabulary import ChannelKind


class Sql(QuerySet, file="templates.sql", package=__package__):
    insert_template: Statement
    count_templates: Statement
    insert_version: Statement
    find_template: Statement
    page_of_templates: Statement
    page_of_versions: Statement
    find_version: Statement
    uses_of_templates: Statement
    generators_of_campaigns: Statement
    lock_template: Statement
    lock_templates: Statement
    template_versions: Statement
    templates_in_full: Statement
    update_template: Statement
    delete_old_versions: Statement
    delete_template: Statement
    campaigns_with_template: Statement


async def count_templates(conn: Connection, brand_id: UUID) -> int:
    return await Sql.count_templates.value(conn, brand_id=brand_id)


async def insert_template(
    conn: Connection, brand_id: UUID, template_id: UUID, *, name: str, channel: ChannelKind
) -> bool:
    """Makes the template, whose version 1 is still to be inserted; False when the name is taken."""
    return await Sql.insert_template.run(conn, id=template_id, brand_id=brand_id, name=name, channel=int(channel)) > 0


async def insert_version(
    conn: Connection, brand_id: UUID, template_id: UUID, version: int, content: TemplateContent
) -> None:
    """Writes one immutable version."""
    await Sql.insert_version.run(
        conn,
        template_id=template_id,
        brand_id=brand_id,
        version=version,
        default_language=content.default_language,
        variants=Jsonb(content.variants),
    )


async def find_template(conn: Connection, brand_id: UUID, template_id: UUID) -> Template | None:
    """The template in its newest version."""
    row = await Sql.find_template.first(conn, _TemplateRow, id=template_id, brand_id=brand_id)
    return row.template() if row else None


async def templates_in_full(conn: Connection, brand_id: UUID, ids: Collection[UUID]) -> dict[UUID, Template]:
    """These templates in their newest versions."""
    rows = await Sql.templates_in_full.rows(conn, _TemplateRow, ids=list(ids), brand_id=brand_id)
    return {row.id: row.template() for row in rows}


async def page_of_templates(
    conn: Connection, brand_id: UUID, *, after: UUID | None, channel: ChannelKind | None, limit: int
) -> list[TemplateSummary]:
    """Templates in the order of their making, from behind `after`."""
    rows = await Sql.page_of_templates.rows(
        conn, _SummaryRow, brand_id=brand_id, after=after, channel=channel and int(channel), limit=limit
    )
    return [row.summary() for row in rows]


async def page_of_versions(conn: Connection, brand_id: UUID, template_id: UUID, *, limit: int) -> list[VersionSummary]:
    """The versions that are kept, the newest first."""
    rows = await Sql.page_of_versions.rows(conn, _VersionRow, id=template_id, brand_id=brand_id, limit=limit)
    return [
        VersionSummary(row.version, _default_first(row.languages, row.default_language), row.created_at) for row in rows
    ]


async def find_version(conn: Connection, brand_id: UUID, template_id: UUID, version: int) -> Template | None:
    """The template as it was in that version, under the name that it has now."""
    row = await Sql.find_version.first(conn, _TemplateRow, id=template_id, brand_id=brand_id, version=version)
    return row.template() if row else None


async def uses_of_templates(
    conn: Connection, brand_id: UUID, ids: Collection[UUID], *, limit: int
) -> list[TemplateUse]:
    """Which campaigns say these templates, in the order of the campaigns' names."""
    return await Sql.uses_of_templates.rows(conn, TemplateUse, brand_id=brand_id, ids=list(ids), limit=limit)


async def generators_of_campaigns(
    conn: Connection, brand_id: UUID, ids: Collection[UUID], *, limit: int
) -> list[GeneratorUse]:
    """Which event generators run these campaigns, in the order of their names."""
    return await Sql.generators_of_campaigns.rows(conn, GeneratorUse, brand_id=brand_id, ids=list(ids), limit=limit)


async def lock_template(conn: Connection, brand_id: UUID, template_id: UUID) -> int | None:
    """Locks the template until the transaction ends and returns its version; None when there is none."""
    return await Sql.lock_template.value(conn, id=template_id, brand_id=brand_id)


async def share_templates(
    conn: Connection, brand_id: UUID, ids: Collection[UUID]
) -> dict[UUID, tuple[ChannelKind, int]]:
    """Keeps these templates as they are until the transaction ends; returns channel and version of those that exist."""
    rows = await Sql.lock_templates.tuples(conn, ids=list(ids), brand_id=brand_id)
    return {template_id: (ChannelKind(channel), version) for template_id, channel, version in rows}


async def template_versions(conn: Connection, brand_id: UUID, ids: Collection[UUID]) -> dict[UUID, int]:
    """The newest version of each."""
    return dict(await Sql.template_versions.tuples(conn, ids=list(ids), brand_id=brand_id))


async def update_template(conn: Connection, brand_id: UUID, template_id: UUID, *, name: str, version: int) -> None:
    """Renames the template and points it at its newest version. Runs within `name_free`."""
    await Sql.update_template.run(conn, id=template_id, brand_id=brand_id, name=name, version=version)


async def delete_versions(conn: Connection, brand_id: UUID, template_id: UUID, *, up_to: int) -> None:
    """Forgets a template's versions up to and including this one."""
    await Sql.delete_old_versions.run(conn, template_id=template_id, brand_id=brand_id, version=up_to)


async def delete_template(conn: Connection, brand_id: UUID, template_id: UUID) -> None:
    """Removes the template with all its versions."""
    await Sql.delete_template.run(conn, id=template_id, brand_id=brand_id)


async def campaigns_with_template(conn: Connection, brand_id: UUID, template_id: UUID) -> list[str]:
    """The names of campaigns that use the template, the first few."""
    return await Sql.campaigns_with_template.column(
        conn, brand_id=brand_id, template_id=template_id, limit=USERS_NAMED_MAX
    )


class _TemplateRow(msgspec.Struct, frozen=True):
    id: UUID
    name: str
    channel: int
    version: int
    default_language: str
    variants: str
    created_at: datetime
    updated_at: datetime

    def template(self) -> Template:
        variants = msgspec.json.decode(self.variants, type=dict[str, dict[str, str]])
        return Template(
            id=self.id,
            name=self.name,
            channel=ChannelKind(self.channel),
            version=self.version,
            content=TemplateContent(self.default_language, variants),
            created_at=self.created_at,
            updated_at=self.updated_at,
        )


class _SummaryRow(msgspec.Struct, frozen=True):
    id: UUID
    name: str
    channel: int
    version: int
    default_language: str
    languages: list[str]
    created_at: datetime
    updated_at: datetime

    def summary(self) -> TemplateSummary:
        return TemplateSummary(
            id=self.id,
            name=self.name,
            channel=ChannelKind(self.channel),
            version=self.version,
            languages=_default_first(self.languages, self.default_language),
            created_at=self.created_at,
            updated_at=self.updated_at,
        )


class _VersionRow(msgspec.Struct, frozen=True):
    version: int
    default_language: str
    languages: list[str]
    created_at: datetime


def _default_first(languages: Collection[str], default: str) -> tuple[str, ...]:
    return (default, *sorted(language for language in languages if language != default))
