"""What a statement does to which tables, read from PostgreSQL's own plan of it rather than from its text."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from importlib import resources
from importlib.resources.abc import Traversable
from typing import Any, LiteralString, NamedTuple, cast

import psycopg

from stentor.db.sql import Statement, parse_blocks

Conn = psycopg.Connection[tuple[Any, ...]]

# The runner's own table is made by a file without named blocks.
_NO_BLOCKS = {"schema_migration.sql"}

_CONDITIONS = ("Filter", "Hash Cond", "Index Cond", "Join Filter", "Merge Cond", "One-Time Filter", "Recheck Cond")
# EXPLAIN VERBOSE writes columns as `alias.column`, perhaps cast and in parentheses, and parameters as `$1`.
_OPERAND = r'\(*(?:("?[\w* ]+"?)\."?(\w+)"?|(\$\d+))\)*(?:::\w+(?:\[\])?)?\)*'
_EQUALITY = re.compile(rf"{_OPERAND} = (?:ANY )?{_OPERAND}")


class Column(NamedTuple):
    """A column of one of a statement's relations, or a parameter under the name of the column that it is compared with."""

    relation: str
    name: str


@dataclass
class Shape:
    """The relations of a statement by alias, what it writes, and which columns its conditions hold equal."""

    tables: dict[str, str] = field(default_factory=dict)
    written: dict[str, str] = field(default_factory=dict)
    inserted: dict[str, list[str]] = field(default_factory=dict)
    writes_within: bool = False
    has_window: bool = False
    equal: list[tuple[Column, Column]] = field(default_factory=list)
    # Parameters, and relations that are made of them: arrays and what is built on arrays.
    given: set[str] = field(default_factory=set)
    made_of: dict[str, set[str]] = field(default_factory=dict)
    # Relations of scalar subqueries, which are looked up once and joined to nothing.
    apart: set[str] = field(default_factory=set)

    def tied_to(self, start: set[str], column: str | None = None) -> set[str]:
        """The relations tied to those of `start` by equalities, of this column or of any, directly or through others."""
        ties = [
            (left.relation, right.relation) for left, right in self.equal if column in {None, left.name, right.name}
        ]
        ties += [(outer, inner) for outer, inners in self.made_of.items() for inner in inners]
        found = set(start)
        while more := {b if a in found else a for a, b in ties if (a in found) != (b in found)}:
            found |= more
        return found

    def bound_by(self, column: str) -> set[str]:
        """The relations whose `column` equals something that the caller gave: a parameter, or a row of an array."""
        return {
            one.relation
            for left, right in self.equal
            for one, other in ((left, right), (right, left))
            if one.name == column and other.relation in self.given
        }


def sql_blocks() -> Iterator[tuple[str, Statement]]:
    """Every named block of the package as `folder/file.sql:name`, migrations aside."""
    for path, file in _sql_files(resources.files("stentor"), ""):
        for name, statement in parse_blocks(file.read_text(encoding="utf-8"), origin=path).items():
            yield f"{path}:{name}", statement


def _sql_files(folder: Traversable, path: str) -> Iterator[tuple[str, Traversable]]:
    for entry in sorted(folder.iterdir(), key=lambda each: each.name):
        if entry.is_dir() and entry.name != "migrations":
            yield from _sql_files(entry, f"{path}{entry.name}/")
        elif entry.name.endswith(".sql") and entry.name not in _NO_BLOCKS:
            yield f"{path}{entry.name}", entry


def prepare(conn: Conn, statement: Statement) -> None:
    """Has the server parse and type the statement as `block`. Raises psycopg.Error where it does not fit the schema."""
    numbers = {name: number for number, name in enumerate(sorted(statement.parameters), start=1)}
    text = re.sub(r"%\((\w+)\)s", lambda match: f"${numbers[match[1]]}", statement.text).replace("%%", "%")
    conn.execute("DEALLOCATE ALL", prepare=False)
    conn.execute(cast("LiteralString", f"PREPARE block AS {text}"), prepare=False)


def shape_of(conn: Conn, statement: Statement) -> Shape:
    """What the statement's plan does, whatever its parameters are."""
    prepare(conn, statement)
    # Partitions would be pruned by the parameters, which are all NULL here.
    conn.execute("SET plan_cache_mode = force_generic_plan; SET enable_partition_pruning = off")
    arguments = f"({', '.join(['NULL'] * len(statement.parameters))})" if statement.parameters else ""
    explained = conn.execute(
        cast("LiteralString", f"EXPLAIN (VERBOSE, COSTS OFF, FORMAT JSON) EXECUTE block{arguments}"), prepare=False
    ).fetchone()
    assert explained is not None
    plans = json.loads(explained[0]) if isinstance(explained[0], str) else explained[0]
    shape = Shape(given={f"${number}" for number in range(1, len(statement.parameters) + 1)})
    _Reader(conn, shape).read(plans[0]["Plan"], is_root=True)
    return shape


class _Reader:
    def __init__(self, conn: Conn, shape: Shape) -> None:
        self._shape = shape
        self._parents = dict(
            conn.execute("SELECT inhrelid::regclass::text, inhparent::regclass::text FROM pg_inherits").fetchall()
        )
        self._whole: dict[str, str] = {}

    def read(self, node: Mapping[str, Any], *, is_root: bool = False) -> set[str]:
        """Adds a node and those below to the shape; returns the relations found there."""
        self._shape.has_window |= node["Node Type"] == "WindowAgg"
        if node["Node Type"] == "ModifyTable":
            self._write(node, is_root=is_root)
        found = self._below(node) | self._named(node)
        if node["Node Type"] == "Subquery Scan":
            self._derive(node["Alias"], set(found))
            found.add(node["Alias"])
        for condition in _CONDITIONS:
            self._equate(node.get(condition, ""))
        return found

    def _below(self, node: Mapping[str, Any]) -> set[str]:
        found: set[str] = set()
        for child in node.get("Plans", ()):
            below = self.read(child)
            if name := re.fullmatch(r"CTE (.+)", child.get("Subplan Name", "")):
                self._derive(name[1], below)
                continue
            if child["Parent Relationship"] == "InitPlan":
                self._shape.apart |= below
            found |= below
        return found

    def _named(self, node: Mapping[str, Any]) -> set[str]:
        """The relation that the node itself is about, if any."""
        if "Relation Name" in node:
            return {self._relation(node)}
        if node["Node Type"] == "Function Scan":
            if "$" in node["Function Call"]:
                self._shape.given.add(node["Alias"])
            return {node["Alias"]}
        if node["Node Type"] == "CTE Scan":
            self._derive(node["Alias"], {node["CTE Name"]})
            return {node["Alias"]}
        return set()

    def _derive(self, relation: str, sources: set[str]) -> None:
        self._shape.made_of[relation] = sources
        if sources & self._shape.given:
            self._shape.given.add(relation)

    def _relation(self, node: Mapping[str, Any]) -> str:
        table, alias = node["Relation Name"], node["Alias"]
        if table in self._parents:
            # Partitions are scanned one by one under numbered aliases; together they are the table.
            self._whole[alias] = alias = re.sub(r"_\d+$", "", alias)
            table = self._parents[table]
        self._shape.tables[alias] = table
        return alias

    def _write(self, node: Mapping[str, Any], *, is_root: bool) -> None:
        shape = self._shape
        shape.writes_within |= not is_root
        shape.written[node["Alias"]] = node["Relation Name"]
        if node["Operation"] == "Insert":
            source = next(each for each in node["Plans"] if each["Parent Relationship"] == "Outer")
            shape.inserted[node["Alias"]] = source["Output"]

    def _equate(self, condition: str) -> None:
        for match in _EQUALITY.finditer(condition):
            left_relation, left_name, left_parameter, right_relation, right_name, right_parameter = match.groups()
            left = Column(self._name(left_relation or left_parameter), left_name or right_name)
            right = Column(self._name(right_relation or right_parameter), right_name or left_name)
            self._shape.equal.append((left, right))

    def _name(self, relation: str) -> str:
        return self._whole.get(relation, relation).strip('"')
