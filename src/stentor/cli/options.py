"""Options that commands of several groups take, and what was said with them. Imports nothing that takes long."""

from pathlib import Path
from typing import Annotated

import typer


def directory_path(text: str) -> Path:
    """The path of a directory, which need not be there."""
    if not text:
        raise typer.BadParameter("an empty path names no directory; say `.` for the one you are in.")
    return Path(text)


Data = Annotated[
    Path | None,
    typer.Option(
        "--data",
        parser=directory_path,
        metavar="PATH",
        help="Data directory of the embedded database and the secret.",
        show_default=False,
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of text.")]
OnlyBrand = Annotated[
    str | None,
    typer.Option("--brand", metavar="BRAND", help="The brand's id, key or name.", show_default="the only one"),
]

OfOrganisation = Annotated[
    str | None,
    typer.Option(
        "--organisation",
        metavar="ORGANISATION",
        help="The organisation's id, number or name.",
        show_default="the first one",
    ),
]


def said(**flags: object) -> dict[str, object]:
    """The flags that were said; what was not comes from the environment, and then from the default."""
    return {name: value for name, value in flags.items() if value is not None}
