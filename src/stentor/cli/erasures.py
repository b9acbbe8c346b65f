"""Exporting and erasing people from the command line."""

import asyncio
import os
import sys
from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import Any, BinaryIO

from stentor.cli.installation import brand_or_only, with_core
from stentor.cli.output import Exit, fail, print_json, say
from stentor.erasures.exporting import as_document, as_lines
from stentor.erasures.model import Erasure
from stentor.errors import NotFound
from stentor.wiring.core import Core, accounts
from stentor.wiring.services import erasures, person_exports

_ASKED_BY = "command line"


def erase_people(given: Mapping[str, Any], external_ids: Sequence[str], *, brand: str | None, as_json: bool) -> None:
    """Erases them, and says by which erasures. Fails when the brand never had one of them, with the others erased."""

    async def act(core: Core) -> None:
        owner = await brand_or_only(accounts(core), brand)
        erased = await erasures(core).erase_many(owner.id, external_ids, asked_by=_ASKED_BY)
        known = {one.external_id for one in erased}
        unknown = [one for one in external_ids if one not in known]
        if as_json:
            told = [{"external_id": one.external_id, "is_new": one.is_new, **_told(one.erasure)} for one in erased]
            print_json({"erased": told, "unknown": unknown})
        for one in erased if not as_json else ():
            since = "is erased" if one.is_new else f"was erased on {one.erasure.erased_at:%Y-%m-%d %H:%M:%S} UTC"
            say(
                f"{one.external_id!r} {since}. Erasure {one.erasure.id}; off all files of opt-out lists by {_day(one.erasure)}."
            )
        if unknown:
            raise NotFound(f"{owner.name!r} never had {', '.join(map(repr, unknown))}.")

    with_core(given, act)


def export_person(given: Mapping[str, Any], external_id: str, *, out: str, lines: bool, brand: str | None) -> None:
    """Writes all that is held of the person to that new file, or to standard output."""

    async def act(core: Core) -> None:
        owner = await brand_or_only(accounts(core), brand)
        pages = person_exports(core).everything(owner.id, external_id)
        text = as_lines(pages) if lines else as_document(pages)
        # Before the file: of somebody unknown none is made.
        first = await anext(text)
        if out == "-":
            await _write(sys.stdout.buffer, first, text)
            return
        try:
            descriptor = os.open(out, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        except OSError as error:
            fail(f"{out} cannot be written: {error.strerror}. Name a new file.", Exit.USAGE)
        with os.fdopen(descriptor, "wb") as file:
            await _write(file, first, text)

    with_core(given, act)


def list_erasures(given: Mapping[str, Any], *, brand: str | None, limit: int, as_json: bool) -> None:
    """Prints the newest erasures."""

    async def act(core: Core) -> None:
        owner = await brand_or_only(accounts(core), brand)
        found = await erasures(core).page(owner.id, limit=limit)
        if as_json:
            print_json({"erasures": [_told(one) for one in found]})
            return
        for one in found:
            state = "complete" if one.completed_at else "being completed by the workers"
            say(f"{one.id}  {one.erased_at:%Y-%m-%d %H:%M:%S} UTC  by {one.asked_by}  {state}  lists by {_day(one)}")
        if not found:
            say("Nobody was erased.")

    with_core(given, act)


async def _write(file: BinaryIO, first: bytes, text: AsyncGenerator[bytes, None]) -> None:
    file.write(first)
    async for piece in text:
        await asyncio.to_thread(file.write, piece)
    file.write(b"\n")
    file.flush()


def _told(erasure: Erasure) -> dict[str, Any]:
    return {
        "id": erasure.id,
        "digest": erasure.digest.hex(),
        "asked_by": erasure.asked_by,
        "erased_at": erasure.erased_at,
        "completed_at": erasure.completed_at,
        "lists_by": erasure.lists_by,
        "counts": erasure.counts,
    }


def _day(erasure: Erasure) -> str:
    return f"{erasure.lists_by:%Y-%m-%d}"
