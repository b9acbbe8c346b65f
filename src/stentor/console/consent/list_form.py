"""The form of an opt-out list, as what the service takes."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, cast, get_args

from stentor.domain.vocabulary import ChannelKind, channel_mask
from stentor.domain.vocabulary import channels_in as kinds_in
from stentor.errors import Invalid
from stentor.optouts.hashing import HASH_NAMES
from stentor.optouts.model import ListDraft, ListKind, ListPatch, OptOutList

if TYPE_CHECKING:
    from stentor.optouts.hashing import HashName

_KINDS: tuple[ListKind, ...] = get_args(ListKind)
_CHANNELS = (ChannelKind.EMAIL, ChannelKind.SMS)
_DIGITS_MAX = 6


def channels_in(held: OptOutList) -> list[str]:
    """What the list is of, as people say it."""
    names = {ChannelKind.EMAIL: "e-mail addresses", ChannelKind.SMS: "phone numbers"}
    return [names[kind] for kind in kinds_in(held.channels)]


def draft_of(form: Mapping[str, str]) -> ListDraft:
    """The list that a form describes. Raises Invalid for a field that says nothing that could be meant."""
    kind = form.get("kind", "plain")
    if kind not in _KINDS:
        raise Invalid.field("/kind", "kind", "Choose what the list keeps.")
    said_hash = form.get("hash", "")
    mask = channel_mask(each for each in _CHANNELS if form.get(each.label) == "yes")
    keeps = kind in {"plain", *HASH_NAMES}
    if keeps and not mask:
        raise Invalid.field(
            "/channels", "channels", "Choose what the list is of: e-mail addresses, phone numbers, or both."
        )
    return ListDraft(
        name=form.get("name", ""),
        kind=cast("ListKind", kind),
        hash=cast("HashName", said_hash) if kind == "plain" and said_hash in HASH_NAMES else None,
        channels=mask if keeps else None,
        enabled=form.get("enabled") == "yes",
        members=_lines(form.get("members", "")) if kind == "grouped" else (),
        linked=form.get("linked", "").strip() if kind == "linked" else "",
        expiry_days=_days(form) if keeps else None,
    )


def patch_of(held: OptOutList, form: Mapping[str, str]) -> ListPatch:
    """What a form changes of the list. Raises as `draft_of`."""
    patch = ListPatch(name=form.get("name", ""), enabled=form.get("enabled") == "yes")
    if held.holds_entries:
        return ListPatch(name=patch.name, enabled=patch.enabled, expiry_days=_days(form))
    if held.kind == "grouped":
        return ListPatch(name=patch.name, enabled=patch.enabled, members=_lines(form.get("members", "")))
    return patch


def _lines(text: str) -> list[str]:
    return [line for each in text.splitlines() if (line := each.strip())]


def _days(form: Mapping[str, str]) -> int | None:
    text = form.get("expiry_days", "").strip()
    if not text:
        return None
    if not text.isascii() or not text.isdigit() or len(text) > _DIGITS_MAX:
        raise Invalid.field("/expiry_days", "whole", "Write a whole number of days, or leave it empty.")
    return int(text)
