"""Plain SQL in `.sql` files, named from Python.

A feature declares its statements as a class; the file and the class must match in both directions, or the import fails:

    class Sql(QuerySet, file="queries.sql", package=__package__):
        claim_chunks: Statement

A block starts with `-- name: claim_chunks`; comment lines below the name say why it is shaped so. `-- all brands: <why>`
marks a block that is bound to no single brand (a test lists those by name), and `-- planned anew: <why>` one whose plan must
not be kept. A file whose first line is `-- for each KIND of: run, segment` has each block once for each of these words, which
is put wherever `{KIND}` stands; the class declares `live: Mapping[str, Statement]`. Parameters are `:name`. The parameter `:now`
is special: it becomes `(statement_timestamp() + shift)`, the shift being the connection's, so that no statement ever takes
a time that was computed before it ran.
"""

import re
from collections.abc import AsyncGenerator, Mapping
from importlib import resources
from typing import Any, ClassVar, LiteralString, TypeVar, cast

from psycopg import AsyncCursor, AsyncServerCursor
from psycopg.rows import RowFactory, class_row, scalar_row, tuple_row

from stentor.db.connection import Connection

T = TypeVar("T")

_NAME = re.compile(r"^--\s*name:\s*([a-z][a-z0-9_]*)\s*$")
_FOR_EACH = re.compile(r"^--\s*for each ([A-Z]+) of:\s*(\S.*)$")
_ALL_BRANDS = re.compile(r"^--\s*all brands:\s*(\S.*)$")
_PLANNED_ANEW = re.compile(r"^--\s*planned anew:\s*\S", re.MULTILINE)
# A quoted string, a comment or a cast is passed over; what is left of `:word` is a parameter.
_TOKEN = re.compile(r"('(?:[^']|'')*'|--[^\n]*|::)|:([a-z_][a-z0-9_]*)|(%)")


class Statement:
    """One named block: its text, ready for psycopg, and typed ways to run it."""

    def __init__(self, name: str, source: str, all_brands: str | None) -> None:
        self.name = name
        self.source = source
        self.all_brands = all_brands
        self.parameters: frozenset[str]
        self.text, self.parameters = _translate(source)
        self._needs_now = "shift" in self.parameters
        self._bytes = cast("LiteralString", self.text).encode()
        # None: as the connection does, which prepares what comes often.
        self._prepare = False if _PLANNED_ANEW.search(source) else None

    def __repr__(self) -> str:
        return f"<Statement {self.name}>"

    def _bound(self, conn: Connection, params: Mapping[str, Any]) -> dict[str, Any]:
        bound = dict(params)
        if self._needs_now:
            bound["shift"] = conn.shift
        return bound

    async def run(self, conn: Connection, **params: Any) -> int:
        """Executes the block and returns how many rows it touched."""
        async with conn.cursor() as cursor:
            await cursor.execute(self._bytes, self._bound(conn, params), prepare=self._prepare)
            return cursor.rowcount

    async def rows(self, conn: Connection, row: type[T], **params: Any) -> list[T]:
        """All rows, each as `row` built from its columns by name."""
        return await self._fetch(conn, class_row(row), params)

    async def tuples(self, conn: Connection, **params: Any) -> list[tuple[Any, ...]]:
        """All rows as plain tuples: for hot paths, where building objects costs more than the row."""
        return await self._fetch(conn, tuple_row, params)

    async def column(self, conn: Connection, **params: Any) -> list[Any]:
        """The first column of all rows."""
        return await self._fetch(conn, scalar_row, params)

    async def first(self, conn: Connection, row: type[T], **params: Any) -> T | None:
        """The first row as `row`, or None when there is none."""
        found = await self._fetch(conn, class_row(row), params)
        return found[0] if found else None

    async def value(self, conn: Connection, **params: Any) -> Any:
        """The first column of the first row, or None when there is none."""
        found = await self._fetch(conn, scalar_row, params)
        return found[0] if found else None

    async def batches(
        self, conn: Connection, size: int, *, in_binary: bool = False, **params: Any
    ) -> AsyncGenerator[list[tuple[Any, ...]], None]:
        """All rows, `size` at a time, read as they are asked for: for exports. Open as long as its transaction.

        `in_binary`: as the server keeps them, which is less work for ids and digests by the million.
        """
        async with AsyncServerCursor(conn, self.name) as cursor:
            await cursor.execute(self._bytes, self._bound(conn, params), binary=in_binary)
            while rows := await cursor.fetchmany(size):
                yield rows

    async def _fetch(self, conn: Connection, factory: RowFactory[T], params: Mapping[str, Any]) -> list[T]:
        async with AsyncCursor(conn, row_factory=cast("Any", factory)) as cursor:
            await cursor.execute(self._bytes, self._bound(conn, params), prepare=self._prepare)
            return cast("list[T]", await cursor.fetchall())


class QuerySet:
    """The statements of one `.sql` file as class attributes; see the module's docstring."""

    statements: ClassVar[dict[str, Statement]]

    def __init_subclass__(cls, *, file: str, package: str | None) -> None:
        super().__init_subclass__()
        if package is None:
            raise TypeError("A query set needs the package that holds its .sql file.")
        text = resources.files(package).joinpath(file).read_text(encoding="utf-8")
        blocks = parse_blocks(text, origin=f"{package}/{file}")
        named = _by_name(blocks)
        declared = {name for name in cls.__annotations__ if not name.startswith("_")}
        if missing := sorted(declared - named.keys()):
            raise TypeError(f"{package}/{file} lacks the blocks {missing} that {cls.__qualname__} declares.")
        if stray := sorted(named.keys() - declared):
            raise TypeError(f"{package}/{file} has the blocks {stray} that {cls.__qualname__} does not declare.")
        cls.statements = blocks
        for name, given in named.items():
            setattr(cls, name, given)


def parse_blocks(text: str, *, origin: str) -> dict[str, Statement]:
    """The named blocks of a `.sql` file; where there is one for each of some words, as `name:word`.

    Raises TypeError for a name used twice or SQL before the first name.
    """
    first, _, rest = text.partition("\n")
    if (each := _FOR_EACH.match(first)) is None:
        return _parsed(text, origin=origin)
    words = [word.strip() for word in each[2].split(",")]
    return {
        f"{name}:{word}": statement
        for word in words
        for name, statement in _parsed(rest.replace(f"{{{each[1]}}}", word), origin=origin).items()
    }


def _by_name(blocks: Mapping[str, Statement]) -> dict[str, Statement | dict[str, Statement]]:
    alone: dict[str, Statement] = {}
    several: dict[str, dict[str, Statement]] = {}
    for key, statement in blocks.items():
        name, _, word = key.partition(":")
        if word:
            several.setdefault(name, {})[word] = statement
        else:
            alone[name] = statement
    return {**alone, **several}


def _parsed(text: str, *, origin: str) -> dict[str, Statement]:
    blocks: dict[str, Statement] = {}
    name: str | None = None
    lines: list[str] = []

    def close() -> None:
        source = "\n".join(lines).strip()
        if name is None:
            if any(line and not line.startswith("--") for line in source.splitlines()):
                raise TypeError(f"{origin} has SQL before its first `-- name:` line.")
            return
        if name in blocks:
            raise TypeError(f"{origin} names {name} twice.")
        why = next((m[1] for line in source.splitlines() if (m := _ALL_BRANDS.match(line))), None)
        blocks[name] = Statement(name, source, why)

    for line in text.splitlines():
        if found := _NAME.match(line):
            close()
            name = found[1]
            lines.clear()
        else:
            lines.append(line)
    close()
    return blocks


def _translate(source: str) -> tuple[str, frozenset[str]]:
    parameters: set[str] = set()

    def replace(match: re.Match[str]) -> str:
        passed_over, name, percent = match.groups()
        if percent is not None:
            return "%%"
        if passed_over is not None:
            return "" if passed_over.startswith("--") else passed_over.replace("%", "%%")
        if name == "now":
            parameters.add("shift")
            return "(statement_timestamp() + %(shift)s)"
        parameters.add(name)
        return f"%({name})s"

    text = _TOKEN.sub(replace, source)
    return "\n".join(line for line in text.splitlines() if line.strip()), frozenset(parameters)
