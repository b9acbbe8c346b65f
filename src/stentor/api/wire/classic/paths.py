"""Where a function of this family is: `/current/general/Login`, in any casing, with or without a version before it."""

import re
from typing import Literal, TypeAlias, cast

import msgspec

Version: TypeAlias = Literal["current", "v3.0", "v1.6", ""]
"""What stood before the category; empty for nothing."""

CategoryName: TypeAlias = Literal["general", "integrations", "customers", "actions", "groups", "segments", "model"]

_PATH = re.compile(
    r"/(?:(current|v3\.0|v1\.6)/)?(general|integrations|customers|actions|groups|segments|model)(?:/(.*))?",
    re.IGNORECASE | re.DOTALL,
)


class Target(msgspec.Struct, frozen=True):
    """What a path asks for: a function of a category, and the id between both where it is about one thing.

    `function` is in lower case, and empty where the path has not the shape of one.
    """

    version: Version
    category: CategoryName
    function: str
    id: str | None = None


def is_classic(path: str) -> bool:
    """Whether the path is this family's, be there such a function or not."""
    return _PATH.fullmatch(path) is not None


def target_of(path: str) -> Target | None:
    """What the path asks for; None for another family's."""
    found = _PATH.fullmatch(path)
    if found is None:
        return None
    version = cast("Version", (found[1] or "").lower())
    category = cast("CategoryName", found[2].lower())
    match (found[3] or "").rstrip("/").split("/"):
        case [function]:
            return Target(version, category, function.lower())
        case [id_, function] if id_:
            return Target(version, category, function.lower(), id_)
        case _:
            return Target(version, category, "")
