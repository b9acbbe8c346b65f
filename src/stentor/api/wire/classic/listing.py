"""Lists of people: pages of any size, and what is told of each person."""

from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import aclosing
from typing import Any, TypeVar

import msgspec

from stentor.api.wire.classic.calls import Call
from stentor.api.wire.classic.reading import Number, Query
from stentor.channels.partners.attributes import pulled
from stentor.errors import Invalid
from stentor.integrations.marks import Mark, question_of

T = TypeVar("T")

PAGE_ROWS = 10_000
"""Of a page whose size is not said. One that is said is honoured, whatever it is: clients stop at the first short page."""

_DELIMITERS = (",", ";")
_SEPARATOR = ";"


class Paged(Query, frozen=True, kw_only=True):
    """Which rows: `$top` of them from behind the first `$skip`."""

    top: Number = PAGE_ROWS
    skip: Number = 0


class WithAttributes(Paged, frozen=True, kw_only=True):
    """What is told of each person: names with `;` between them. The delimiter is that of the older answers."""

    customer_attributes: str = ""
    customer_attributes_delimiter: str = ","


class Columns(msgspec.Struct, frozen=True):
    """The attributes that were asked for, in their order, and how they are told."""

    names: tuple[str, ...]
    delimiter: str
    is_older: bool

    def told(self, values: Sequence[str]) -> dict[str, Any]:
        """What a row has of them; nothing where none was asked for."""
        if not self.names:
            return {}
        if self.is_older:
            return {"CustomerAttribute": self.delimiter.join(values)}
        return {"CustomerAttributes": list(values)}


def columns_of(query: WithAttributes, granted: Sequence[str], *, is_older: bool) -> Columns:
    """Raises Invalid for a name that may not be pulled, and for a delimiter that clients could not tell from a value."""
    delimiter = delimiter_of(query)
    asked = [name for each in query.customer_attributes.split(_SEPARATOR) if (name := each.strip())]
    return Columns(pulled(granted, asked), delimiter, is_older)


def delimiter_of(query: WithAttributes) -> str:
    """What stands between the values of an older answer. Raises Invalid for what clients could not tell from a value."""
    if query.customer_attributes_delimiter not in _DELIMITERS:
        raise Invalid.field(
            "/CustomerAttributesDelimiter", "delimiter", "CustomerAttributesDelimiter is a comma or a semicolon."
        )
    return query.customer_attributes_delimiter


def value_text(value: Any) -> str:
    """An attribute's value as text: what is no text as JSON writes it, and nothing for none."""
    if value is None:
        return ""
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def values_of(names: Sequence[str], fields: Mapping[str, Any], attributes: Mapping[str, Any]) -> list[str]:
    """The values of these names: a field that everybody may have, or else an attribute."""
    return [value_text(fields[name] if name in fields else attributes.get(name)) for name in names]


async def stable_page(
    call: Call,
    function: str,
    query: Paged,
    rows: Callable[[Mark | None], AsyncGenerator[list[T], None]],
    mark: Callable[[T], Mark],
) -> AsyncGenerator[list[T], None]:
    """The page that is asked for, of rows that are read anew: behind the last row of the page before, however rows moved since.

    `rows` are those behind a mark, `mark` that of a row. What is told of each person makes no other list.
    """
    asked = {
        name: value
        for name, value in msgspec.to_builtins(query).items()
        if name not in {"Top", "Skip", "CustomerAttributes", "CustomerAttributesDelimiter"}
    }
    question = question_of(function, asked)
    start = await call.services.list_marks.start(call.client, question, query.skip)
    last: T | None = None
    count = 0
    rest = Paged(top=query.top, skip=query.skip - start.position)
    async with aclosing(page_of(rows(start.after), rest)) as pages:
        async for page in pages:
            count += len(page)
            last = page[-1]
            yield page
    if last is not None:
        await call.services.list_marks.note(call.client, question, query.skip + count, mark(last))


async def page_of(rows: AsyncGenerator[list[T], None], paged: Paged) -> AsyncGenerator[list[T], None]:
    """The page that is asked for, of rows that come in lists. It closes them, however far it was read."""
    skip, left = paged.skip, paged.top
    async with aclosing(rows):
        async for some in rows:
            if left <= 0:
                return
            if skip >= len(some):
                skip -= len(some)
                continue
            wanted = some[skip : skip + left]
            skip, left = 0, left - len(wanted)
            yield wanted
