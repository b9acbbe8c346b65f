"""All that is held of a person, section by section, read page by page: as much memory as one page takes."""

from collections.abc import AsyncGenerator, Mapping
from typing import Any, Protocol
from uuid import UUID

import msgspec

from stentor.audience.customers import id_of, missing_customer
from stentor.channels.sandbox.model import Reassemble
from stentor.db.by_keys import go_by_keys
from stentor.db.pool import Database
from stentor.db.sql import QuerySet, Statement
from stentor.domain.ids import part_of
from stentor.domain.vocabulary import ChannelKind, Reason, SendState, channels_in
from stentor.erasures import store
from stentor.optouts.model import Finding

EXECUTIONS_PAGE = 1_000
"""Executions of a brand that are asked for a person at once."""

ROWS_PAGE = 500

_FIRST = UUID(int=0)
# What places a row and says nothing of the person.
_PLACE = frozenset({"part", "brand_id", "shard"})


class Sql(QuerySet, file="export.sql", package=__package__):
    person: Statement
    tombstone: Statement
    earlier: Statement
    merged: Statement
    subscriptions: Statement
    tags: Statement
    tag_names: Statement
    consents: Statement
    told: Statement
    contexts: Statement
    contacts: Statement
    reports: Statement
    messages: Statement
    message_parts: Statement
    sends: Statement
    revocations: Statement
    pulls: Statement
    events: Statement


class FindsOptOuts(Protocol):
    """Who knows what an address is on."""

    async def find_everywhere(self, brand_id: UUID, address: str, channel: ChannelKind) -> list[Finding]:
        """All by which it is on one of the brand's lists."""


class Held(msgspec.Struct, frozen=True):
    """One thing that is held of a person; `section` says what it is."""

    section: str
    item: dict[str, Any]


SECTIONS = (
    "person",
    "earlier",
    "merged",
    "subscriptions",
    "tags",
    "consents",
    "told",
    "contexts",
    "contacts",
    "reports",
    "messages",
    "opt_outs",
    "sends",
    "revocations",
    "pulls",
    "events",
)
"""In the order in which they come. `person` is one thing, the others are lists."""


class ExportService:
    """Gives out all that is held of a person."""

    def __init__(self, db: Database, optouts: FindsOptOuts, reassemble: Reassemble) -> None:
        self._db = db
        self._optouts = optouts
        self._reassemble = reassemble

    async def everything(self, brand_id: UUID, external_id: str) -> AsyncGenerator[list[Held], None]:
        """All that is held of the person, some at a time; of somebody merged, what is still under their id.

        What changes meanwhile is there as it was or as it is. Raises NotFound before the first.
        """
        customer = id_of(brand_id, external_id)
        key: dict[str, Any] = {"part": part_of(customer), "customer_id": customer, "brand_id": brand_id}
        async with self._db.read() as conn:
            person = await Sql.person.value(conn, **key) or await Sql.tombstone.value(conn, **key)
        if person is None:
            raise missing_customer(external_id)
        yield [Held("person", _shown("person", person))]
        for section, statement in (
            ("earlier", Sql.earlier),
            ("merged", Sql.merged),
            ("subscriptions", Sql.subscriptions),
            ("tags", Sql.tags),
            ("consents", Sql.consents),
            ("told", Sql.told),
            ("contexts", Sql.contexts),
            ("contacts", Sql.contacts),
            ("reports", Sql.reports),
        ):
            async for page in self._pages(section, statement, key):
                yield page
        async for page in self._pages("messages", Sql.messages, key):
            for message in page:
                yield [await self._with_text(key, message)]
        yield await self._opt_outs(brand_id, person)
        for section, statement in (
            ("sends", Sql.sends),
            ("revocations", Sql.revocations),
            ("pulls", Sql.pulls),
            ("events", Sql.events),
        ):
            async for page in self._by_execution(section, statement, key):
                yield page

    async def _pages(
        self, section: str, statement: Statement, key: Mapping[str, Any]
    ) -> AsyncGenerator[list[Held], None]:
        async with self._db.transaction() as conn:
            async for rows in statement.batches(conn, ROWS_PAGE, **key):
                names: dict[UUID, str] = {}
                if section == "tags":
                    tag_ids = [UUID(row["tag_id"]) for (row,) in rows]
                    names = dict(await Sql.tag_names.tuples(conn, brand_id=key["brand_id"], tag_ids=tag_ids))
                yield [Held(section, _shown(section, row, names)) for (row,) in rows]

    async def _by_execution(
        self, section: str, statement: Statement, key: Mapping[str, Any]
    ) -> AsyncGenerator[list[Held], None]:
        after = _FIRST
        while True:
            async with self._db.transaction() as conn:
                await go_by_keys(conn)
                executions = await store.page_of_executions(
                    conn, key["brand_id"], [key["customer_id"]], after=after, limit=EXECUTIONS_PAGE
                )
                rows = await statement.column(conn, execution_ids=executions, **key) if executions else []
            if rows:
                yield [Held(section, _shown(section, row)) for row in rows]
            if len(executions) < EXECUTIONS_PAGE:
                return
            after = executions[-1]

    async def _with_text(self, key: Mapping[str, Any], message: Held) -> Held:
        item = message.item
        where = {"execution_id": item["execution_id"], "channel": int(ChannelKind.named(item["channel"]))}
        async with self._db.read() as conn:
            parts = await Sql.message_parts.tuples(conn, **key, **where)
        raw = self._reassemble(*parts[0]) if parts else b""
        return Held(message.section, {**item, "raw": raw.decode("utf-8", "replace")})

    async def _opt_outs(self, brand_id: UUID, person: Mapping[str, Any]) -> list[Held]:
        found: list[Finding] = []
        for address, digest, channel in (
            (person.get("email"), person.get("email_digest"), ChannelKind.EMAIL),
            (person.get("phone"), person.get("phone_digest"), ChannelKind.SMS),
        ):
            if address is not None and digest is not None:
                found += await self._optouts.find_everywhere(brand_id, address, channel)
        return [Held("opt_outs", _listed(one)) for one in found]


async def as_document(pages: AsyncGenerator[list[Held], None]) -> AsyncGenerator[bytes, None]:
    """One JSON object: `person`, and each other section as a list, empty where there is nothing."""
    encode = msgspec.json.Encoder().encode
    at = -1
    is_first = True
    try:
        async for page in pages:
            pieces: list[bytes] = []
            for held in page:
                place = SECTIONS.index(held.section)
                if place != at:
                    pieces.append(_between(at, place))
                    at, is_first = place, True
                pieces.append(b"" if is_first else b",")
                pieces.append(encode(held.item))
                is_first = False
            yield b"".join(pieces)
    finally:
        await pages.aclose()
    yield _between(at, len(SECTIONS)) + b"}"


async def as_lines(pages: AsyncGenerator[list[Held], None]) -> AsyncGenerator[bytes, None]:
    """NDJSON: each thing on a line, with its `section`."""
    encoder = msgspec.json.Encoder()
    try:
        async for page in pages:
            yield encoder.encode_lines(page)
    finally:
        await pages.aclose()


def _between(at: int, place: int) -> bytes:
    """What stands between the last thing of one section and the first of another; those that are skipped are empty."""
    text = "{" if at < 0 else "" if at == 0 else "]"
    for skipped in range(at + 1, place):
        text += f'{"," if skipped else ""}"{SECTIONS[skipped]}":[]'
    if place < len(SECTIONS):
        text += f'{"," if place else ""}"{SECTIONS[place]}":{"[" if place else ""}'
    return text.encode()


def _shown(section: str, row: Mapping[str, Any], tags: Mapping[UUID, str] | None = None) -> dict[str, Any]:
    """A row in the words of the API: channels, states and reasons by name, bytes in hexadecimal digits."""
    shown: dict[str, Any] = {}
    for name, value in row.items():
        if name in _PLACE:
            continue
        if name.endswith("_mask") or name == "channels":
            shown[name.removesuffix("_mask")] = [kind.label for kind in channels_in(value)]
        elif name == "channel":
            shown[name] = ChannelKind(value).label
        elif section == "sends" and name == "state":
            shown[name] = SendState(value).label
        elif section in {"sends", "revocations"} and name == "reason":
            shown[name] = Reason(value).label
        elif isinstance(value, str) and name.endswith("digest"):
            shown[name] = value.removeprefix("\\x")
        else:
            shown[name] = value
    if section == "tags" and tags:
        shown["tag"] = tags.get(UUID(row["tag_id"]), "")
    return shown


def _listed(finding: Finding) -> dict[str, Any]:
    entry = finding.entry
    if entry is None:
        return {"list_id": finding.list_id, "form": finding.form.name.lower(), "came_in_a_file": True}
    told = msgspec.to_builtins(entry)
    return {
        **told,
        "digest": entry.digest.hex(),
        "form": finding.form.name.lower(),
        "channel": entry.channel.label,
        "came_in_a_file": False,
    }
