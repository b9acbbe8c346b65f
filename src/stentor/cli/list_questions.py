"""What opt-out lists there are, who is on them, and few files for them: without a job."""

import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from itertools import islice
from typing import Any, cast, get_args

from stentor.cli.installation import with_core
from stentor.cli.list_jobs import ListDesk
from stentor.cli.output import Exit, fail, print_json, say
from stentor.domain.vocabulary import ChannelKind, channels_in
from stentor.optouts.bulk import CHECKED_MAX, Checked
from stentor.optouts.compaction.model import LiveFiles
from stentor.optouts.crew import ChildDied
from stentor.optouts.hashing import EntryForm
from stentor.optouts.model import ListDraft, ListKind, OptOutList
from stentor.optouts.storage import NotStored
from stentor.wiring.core import Core
from stentor.wiring.roles import compactor

_FORMS = {
    EntryForm.ADDRESS: "as it is, or by its hash",
    EntryForm.OTHER_SPELLING: "in the other spelling of its host",
    EntryForm.DOMAIN: "by its whole domain",
}
_PAGE = 100
_MB = 1_000_000


def create_list(given: Mapping[str, Any], name: str, *, kind: str, brand: str | None, as_json: bool) -> None:
    """Makes a list that holds entries itself, and prints what it is known by."""
    kinds = [one for one in get_args(ListKind) if one not in {"grouped", "linked"}]
    if kind not in kinds:
        fail(f"There is no kind {kind!r} here; choose from {', '.join(kinds)}.", Exit.USAGE)

    async def act(core: Core) -> None:
        desk = await ListDesk.opened(core, brand)
        made = await desk.lists.create(desk.brand_id, ListDraft(name=name, kind=cast("ListKind", kind)))
        if as_json:
            print_json(_told(made))
        else:
            say(f"Made the list {made.name!r}.\n  id    {made.id}\n  code  {made.code}")

    with_core(given, act)


def show_lists(given: Mapping[str, Any], reference: str | None, *, brand: str | None, as_json: bool) -> None:
    """Prints the list, or all of the brand."""

    async def act(core: Core) -> None:
        desk = await ListDesk.opened(core, brand)
        if reference is not None:
            shown = [await desk.lists.get(desk.brand_id, reference)]
        else:
            shown = [one async for one in _all(desk)]
        if as_json:
            print_json({"lists": [_told(one) for one in shown]})
            return
        rows = [
            (one.code, one.kind, one.state, _scope_in_words(one), _in_files(one), _printable(one.name)) for one in shown
        ]
        print_table([("code", "kind", "state", "is for", "in files", "name"), *rows])

    with_core(given, act)


def check_addresses(
    given: Mapping[str, Any], reference: str, addresses: Sequence[str], *, brand: str | None, as_json: bool
) -> None:
    """Prints of each address whether the list holds it, and by what."""
    texts = _lines() if list(addresses) == ["-"] else list(addresses)
    if not texts:
        fail("Standard input has no address; send one a line.", Exit.USAGE)

    async def act(core: Core) -> None:
        desk = await ListDesk.opened(core, brand)
        held = await desk.lists.get(desk.brand_id, reference)
        if not held.is_enabled:
            say(f"The list {held.name!r} is disabled: nobody is held by it.")
        answers = await desk.checks.check(desk.brand_id, reference, texts)
        if as_json:
            print_json(
                {
                    "list": held.name,
                    "addresses": [_answer(text, one) for text, one in zip(texts, answers, strict=True)],
                }
            )
            return
        print_table([(_printable(text), _in_words(one)) for text, one in zip(texts, answers, strict=True)])

    with_core(given, act)


def compact_lists(given: Mapping[str, Any], reference: str | None, *, brand: str | None, as_json: bool) -> None:
    """Makes as few files as possible of those of the list, or of all lists of the brand, and prints how many there were."""

    async def act(core: Core) -> None:
        desk = await ListDesk.opened(core, brand)
        await desk.check_not_paused()
        if reference is not None:
            chosen = [await desk.lists.get(desk.brand_id, reference)]
        else:
            chosen = [one async for one in _all(desk) if one.holds_entries]
        told = []
        compacting = compactor(core)
        for one in chosen:
            before = await compacting.files(desk.brand_id, one.id)
            try:
                await compacting.compact(desk.brand_id, one.id, everything=True)
            except NotStored:
                fail(
                    f"A file of the list {one.name!r} is gone from the storage. `stentor doctor` names it; put it back from a"
                    " backup."
                )
            except ChildDied as death:
                fail(f"The files of the list {one.name!r} are as they were: {death}")
            told.append((one, before, await compacting.files(desk.brand_id, one.id)))
        if as_json:
            print_json({"lists": [{"list": one.name, "before": before, "after": after} for one, before, after in told]})
            return
        rows = [(_files_in_words(before), _files_in_words(after), _printable(one.name)) for one, before, after in told]
        print_table([("before", "after", "list"), *rows])

    with_core(given, act)


def print_table(rows: Sequence[Sequence[str]]) -> None:
    """Columns on standard output."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        line = "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        sys.stdout.write(line.rstrip() + "\n")


async def _all(desk: ListDesk) -> AsyncIterator[OptOutList]:
    after = None
    while page := await desk.lists.page(desk.brand_id, after=after, limit=_PAGE):
        for one in page:
            yield one
        after = page[-1].id


def _lines() -> list[str]:
    """What standard input has, one address a line; one more than can be checked, so that this is told."""
    lines = (line.strip() for line in sys.stdin)
    return list(islice((line for line in lines if line), CHECKED_MAX + 1))


def _told(one: OptOutList) -> dict[str, Any]:
    return {
        "id": str(one.id),
        "code": one.code,
        "name": one.name,
        "kind": one.kind,
        "hash": one.hash,
        "state": one.state,
        "built_in": one.built_in,
        "channels": ["email" if kind is ChannelKind.EMAIL else "sms" for kind in channels_in(one.channels)],
        "scope": one.scope,
        "scope_ids": [str(each) for each in one.scope_ids],
        "members": [str(each) for each in one.members],
        "linked": one.linked_code or None,
        "expiry_days": one.expiry_days,
        "generation": one.generation,
        "entries_in_files": one.entries_in_files,
    }


def _answer(text: str, answer: Checked) -> dict[str, Any]:
    form = None if answer.form is None else answer.form.name.lower()
    return {"address": text, "is_listed": answer.is_listed, "form": form, "refusal": answer.refusal}


def _in_words(answer: Checked) -> str:
    if answer.refusal:
        return f"is none: {answer.refusal}"
    return "not listed" if answer.form is None else f"listed {_FORMS[answer.form]}"


def _scope_in_words(one: OptOutList) -> str:
    return "the brand" if one.scope == "brand" else _so_many(len(one.scope_ids), one.scope.removesuffix("s"))


def _in_files(one: OptOutList) -> str:
    """How many entries came in files; of a list that holds none itself, where they are."""
    if one.kind == "grouped":
        return f"in {_so_many(len(one.members), 'list')}"
    if one.kind == "linked":
        return f"in {one.linked_code}" if one.is_link_open else "not granted"
    return f"{one.entries_in_files:,}"


def _files_in_words(files: LiveFiles) -> str:
    if not files.runs + files.segments:
        return "no files"
    return f"{_so_many(files.runs + files.segments, 'file')}, {files.bytes / _MB:,.1f} MB, {files.entries:,} entries"


def _so_many(count: int, what: str) -> str:
    return f"{count:,} {what}{'' if count == 1 else 's'}"


def _printable(text: str) -> str:
    return text if text.isprintable() else repr(text)
