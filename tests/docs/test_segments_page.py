"""docs/segments.md tells of every group, condition and test, each with an example that the database takes."""

import re
from datetime import timedelta
from typing import get_args
from uuid import uuid4

import msgspec
import pytest
from psycopg import sql

from documents import ROOT
from stentor.audience.segments.compiling import compile_expression
from stentor.audience.segments.expressions import Condition, Expression, Group, ValueTest, checked
from stentor.db.pool import Database

pytestmark = pytest.mark.anyio

PAGE = (ROOT / "docs" / "segments.md").read_text(encoding="utf-8")
SECTION = re.compile(r"^### `(\w+)`\n\n(.+?)\n\n```json\n(.+?)\n```", re.MULTILINE | re.DOTALL)


async def test_every_kind_is_told_of_in_its_own_words_with_an_example_that_runs(db: Database):
    told = [(name, " ".join(about.split()), example) for name, about, example in SECTION.findall(PAGE)]
    kinds = [*get_args(Group), *get_args(Condition), *get_args(ValueTest)]

    assert [(name, about) for name, about, _ in told] == [
        (kind.__struct_config__.tag, " ".join(kind.__doc__.split())) for kind in kinds
    ]
    async with db.read() as conn:
        for name, _, example in told:
            assert f'"{name}"' in example
            compiled = compile_expression(checked(msgspec.json.decode(example, type=Expression)))
            statement = sql.SQL("SELECT count(*) FROM customer c WHERE c.brand_id = %(brand_id)s AND {}").format(
                compiled.sql
            )
            parameters = {"brand_id": uuid4(), "shift": timedelta(), **compiled.parameters}
            assert await (await conn.execute(statement, parameters)).fetchone() == (0,)
