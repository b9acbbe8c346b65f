"""Partner templates and apps: what a partner says that it can send, and by which apps.

Services say all of theirs again and again, a hundred at a time: what is known is changed, what is new is added, and what
nobody knows can be deleted. Of a call that breaks a rule nothing is done.
"""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from stentor.accounts.audit import record
from stentor.channels.partners import store
from stentor.channels.partners.channels import find_channel, lock_channel, missing_channel
from stentor.channels.partners.model import (
    APP_ID_CHARS_MAX,
    APPS_MAX,
    CONTENT_NAME_CHARS_MAX,
    ITEMS_MAX,
    TEMPLATES_EVER_MAX,
    TEMPLATES_MAX,
    AppKey,
    NewApp,
    NewTemplate,
    PartnerApp,
    PartnerTemplate,
    TemplateKey,
    checked_number,
)
from stentor.db.connection import Connection
from stentor.db.pool import Database
from stentor.domain.text import NOT_IN_A_LINE
from stentor.errors import Invalid, NotFound, QuotaExceeded, pointer_to

PAGE_MAX = 1_000


async def find_template(conn: Connection, brand_id: UUID, template_id: UUID) -> PartnerTemplate | None:
    """The partner template that a campaign's route names; None where the service deleted it, or it never was."""
    return await store.template_by_id(conn, brand_id, template_id)


class PartnerContentService:
    """What the doors call about templates and apps of partner channels. Raises NotFound for a channel that is not the brand's."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def add_templates(self, brand_id: UUID, channel_number: int, templates: Sequence[NewTemplate]) -> None:
        """Adds at most 100; a known number gets the name and the app that are said now. Said twice, the last one holds.

        Raises Invalid that names the item, QuotaExceeded for more than 10,000 on a channel; then nothing is changed.
        """
        _check_number_of(templates)
        said = {}
        for index, one in enumerate(templates):
            number = checked_number(pointer_to(index, "number"), one.number, "A template's number", least=0)
            said[number] = NewTemplate(
                number,
                _line(index, "name", one.name, CONTENT_NAME_CHARS_MAX),
                None if not one.app_id else _line(index, "app_id", one.app_id, APP_ID_CHARS_MAX),
            )
        async with self._db.transaction() as conn:
            await lock_channel(conn, brand_id, channel_number)
            before = await store.templates_among(conn, brand_id, channel_number, list(said))
            await store.upsert_templates(conn, brand_id, channel_number, [said[number] for number in sorted(said)])
            if await store.count_templates(conn, brand_id, channel_number) > TEMPLATES_MAX:
                raise _too_many("templates", TEMPLATES_MAX)
            if await store.count_template_numbers(conn, brand_id, channel_number) > TEMPLATES_EVER_MAX:
                raise QuotaExceeded(
                    f"A partner channel has at most {TEMPLATES_EVER_MAX:,} numbers of templates, deleted ones too. Say templates anew "
                    "under numbers that were deleted.",
                    quota=TEMPLATES_EVER_MAX,
                )
            after = await store.templates_among(conn, brand_id, channel_number, list(said))
            await _record_added(
                conn,
                "partner_templates.added",
                brand_id,
                channel_number,
                before=[_template_told(one) for one in before],
                after=[_template_told(one) for one in after],
            )

    async def delete_templates(self, brand_id: UUID, keys: Sequence[TemplateKey]) -> None:
        """Deletes at most 100, of any of the brand's channels; what is not there is left out. Raises Invalid for more.

        Campaigns may name them: who publishes one after that is told of the gap.
        """
        _check_number_of(keys)
        async with self._db.transaction() as conn:
            await store.lock_channels(conn, brand_id, [key.channel_number for key in keys])
            gone = await store.delete_templates(conn, brand_id, keys)
            await _record_deleted(conn, "partner_templates.deleted", brand_id, "number", gone)

    async def templates(
        self, brand_id: UUID, channel_number: int, *, after: int = -1, limit: int = PAGE_MAX
    ) -> list[PartnerTemplate]:
        """At most `limit` (and 1,000) of a channel's templates in the order of their numbers, from behind `after`."""
        async with self._db.read() as conn:
            await _check_is_there(conn, brand_id, channel_number)
            return await store.templates_of_channel(
                conn, brand_id, channel_number, after=after, limit=min(limit, PAGE_MAX)
            )

    async def all_templates(self, brand_id: UUID, channel_number: int) -> list[PartnerTemplate]:
        """All of a channel's templates, 10,000 at most, in the order of their numbers."""
        async with self._db.read() as conn:
            await _check_is_there(conn, brand_id, channel_number)
            return await store.templates_of_channel(conn, brand_id, channel_number, after=-1, limit=TEMPLATES_MAX)

    async def template(self, brand_id: UUID, channel_number: int, number: int) -> PartnerTemplate:
        """The template of that number. Raises NotFound."""
        async with self._db.read() as conn:
            await _check_is_there(conn, brand_id, channel_number)
            found = await store.templates_among(conn, brand_id, channel_number, [number])
        if not found:
            raise NotFound(f"The partner channel {channel_number} has no template {number}.")
        return found[0]

    async def add_apps(self, brand_id: UUID, channel_number: int, apps: Sequence[NewApp]) -> None:
        """Adds at most 100; a known id gets the name that is said now. Raises as `add_templates`, its limit being 1,000."""
        _check_number_of(apps)
        said = {}
        for index, one in enumerate(apps):
            app_id = _line(index, "app_id", one.app_id, APP_ID_CHARS_MAX)
            said[app_id] = NewApp(app_id, _line(index, "name", one.name, CONTENT_NAME_CHARS_MAX))
        async with self._db.transaction() as conn:
            await lock_channel(conn, brand_id, channel_number)
            before = await store.apps_among(conn, brand_id, channel_number, list(said))
            await store.upsert_apps(conn, brand_id, channel_number, [said[app_id] for app_id in sorted(said)])
            if await store.count_apps(conn, brand_id, channel_number) > APPS_MAX:
                raise _too_many("apps", APPS_MAX)
            after = await store.apps_among(conn, brand_id, channel_number, list(said))
            await _record_added(
                conn,
                "partner_apps.added",
                brand_id,
                channel_number,
                before=[_app_told(one) for one in before],
                after=[_app_told(one) for one in after],
            )

    async def delete_apps(self, brand_id: UUID, keys: Sequence[AppKey]) -> None:
        """Deletes at most 100, of any of the brand's channels; what is not there is left out. Raises Invalid for more."""
        _check_number_of(keys)
        async with self._db.transaction() as conn:
            await store.lock_channels(conn, brand_id, [key.channel_number for key in keys])
            gone = await store.delete_apps(conn, brand_id, keys)
            await _record_deleted(conn, "partner_apps.deleted", brand_id, "app_id", gone)

    async def apps(
        self, brand_id: UUID, channel_number: int, *, after: str = "", limit: int = PAGE_MAX
    ) -> list[PartnerApp]:
        """At most `limit` (and 1,000, which is all) of a channel's apps in the order of their ids, from behind `after`."""
        async with self._db.read() as conn:
            await _check_is_there(conn, brand_id, channel_number)
            return await store.apps_of_channel(conn, brand_id, channel_number, after=after, limit=min(limit, PAGE_MAX))

    async def app(self, brand_id: UUID, channel_number: int, app_id: str) -> PartnerApp:
        """The app of that id. Raises NotFound."""
        async with self._db.read() as conn:
            await _check_is_there(conn, brand_id, channel_number)
            found = await store.apps_among(conn, brand_id, channel_number, [app_id])
        if not found:
            raise NotFound(f"The partner channel {channel_number} has no such app.")
        return found[0]


async def _record_added(
    conn: Connection,
    action: str,
    brand_id: UUID,
    channel_number: int,
    *,
    before: list[dict[str, object]],
    after: list[dict[str, object]],
) -> None:
    what = _what(action)
    await record(
        conn,
        action,
        channel_number,
        brand_id=brand_id,
        before={what: before},
        after={what: after},
    )


async def _record_deleted(
    conn: Connection, action: str, brand_id: UUID, key: str, gone: Sequence[tuple[int, Any, str]]
) -> None:
    """An entry for each channel that something is gone of."""
    what = _what(action)
    for channel_number in sorted({channel for channel, _, _ in gone}):
        told = sorted((name_of, name) for channel, name_of, name in gone if channel == channel_number)
        before = {what: [{key: name_of, "name": name} for name_of, name in told]}
        await record(conn, action, channel_number, brand_id=brand_id, before=before)


def _what(action: str) -> str:
    """`templates` of `partner_templates.added`."""
    return action.partition(".")[0].removeprefix("partner_")


async def _check_is_there(conn: Connection, brand_id: UUID, channel_number: int) -> None:
    if await find_channel(conn, brand_id, channel_number) is None:
        raise missing_channel(channel_number)


def _check_number_of(items: Sequence[object]) -> None:
    if len(items) > ITEMS_MAX:
        raise Invalid.field(
            "", "length", f"A call has at most {ITEMS_MAX} items, and this one has {len(items)}. Nothing was done."
        )


def _line(index: int, field: str, text: str, chars_max: int) -> str:
    stripped = text.strip()
    if not 1 <= len(stripped) <= chars_max or NOT_IN_A_LINE.search(stripped):
        raise Invalid.field(
            pointer_to(index, field),
            "text",
            f"Item {index + 1}: {field} is one line of 1 to {chars_max} characters. Nothing was done.",
        )
    return stripped


def _too_many(things: str, at_most: int) -> QuotaExceeded:
    return QuotaExceeded(
        f"A partner channel has at most {at_most:,} {things}. Delete those that nobody needs any more.", quota=at_most
    )


def _template_told(one: PartnerTemplate) -> dict[str, object]:
    return {"number": one.number, "name": one.name, "app_id": one.app_id}


def _app_told(one: PartnerApp) -> dict[str, object]:
    return {"app_id": one.app_id, "name": one.name}
