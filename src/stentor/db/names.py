"""Names that are given once: one way to say that a name is taken.

An insert says so itself (`ON CONFLICT DO NOTHING`, and the store returns False); an update has no such clause, so there
the database's refusal is translated.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from psycopg.errors import UniqueViolation

from stentor.errors import Conflict


def name_taken(noun: str, name: str) -> Conflict:
    """The refusal of a name that another one has."""
    article = "An" if noun[0] in "aeiou" else "A"
    return Conflict(f"{article} {noun} named {name!r} exists already; choose another name.", name=name)


@contextmanager
def name_free(noun: str, name: str) -> Iterator[None]:
    """Around an update: turns the database's refusal of a name that another one has into `name_taken`."""
    try:
        yield
    except UniqueViolation as error:
        raise name_taken(noun, name) from error
