"""Lines about one person, folded into one row, say what the lines say one after the other."""

from typing import Any
from uuid import UUID

import msgspec
from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET, UnsetType

from stentor.audience.intake import CLEARS, Given, Rows, take_in
from stentor.audience.model import CustomerPatch
from stentor.audience.repeats import fold

BRAND = UUID("018f0000-0000-7000-8000-000000000001")
FIELDS = ("emails", "email_digests", "phones", "phone_digests", "push_tokens", "locales", "time_zones")

NAMES = st.sampled_from(["a", "b", "c"])
VALUES = st.one_of(st.none(), st.integers(0, 3))


def said(*values: Any) -> st.SearchStrategy[Any]:
    return st.sampled_from([UNSET, None, *values])


PATCHES = st.builds(
    CustomerPatch,
    external_id=st.sampled_from(["ann", "bob"]),
    email=said("a@example.com", "b@example.com", "none"),
    phone=said("+14155550123", "12"),
    push_tokens=said(["t"], ["u", "v"]),
    locale=said("de", "fr"),
    time_zone=said("UTC"),
    attributes=st.one_of(st.sampled_from([UNSET, None]), st.dictionaries(NAMES, VALUES, max_size=3)),
)


class Known(msgspec.Struct):
    """A model of a stored customer: what applying one row after the other leaves."""

    fields: dict[str, object | UnsetType]
    attributes: dict[str, Any]
    addresses: int = 0
    valid: int = 0


def apply(rows: Rows, people: dict[str, Known]) -> None:
    bits = {
        "emails": 1,
        "email_digests": 1,
        "phones": 2,
        "phone_digests": 2,
        "push_tokens": 4,
        "locales": 8,
        "time_zones": 16,
    }
    for place, person in enumerate(rows.external_ids):
        known = people.setdefault(person, Known(dict.fromkeys(FIELDS, None) | {"push_tokens": ""}, {}))
        given = rows.given[place]
        known.fields |= {name: getattr(rows, name)[place] for name in FIELDS if given & bits[name]}
        known.addresses = known.addresses & ~rows.touched[place] | rows.addresses[place]
        known.valid = known.valid & ~rows.touched[place] | rows.valid[place]
        if given & CLEARS:
            known.attributes = {}
        for name in msgspec.json.decode(rows.removed[place]) if rows.removed[place] else ():
            known.attributes.pop(name, None)
        known.attributes |= msgspec.json.decode(rows.attributes[place])


@given(before=st.lists(PATCHES, max_size=3), patches=st.lists(PATCHES, min_size=1, max_size=6))
def test_folded_lines_leave_what_the_lines_leave(before: list[CustomerPatch], patches: list[CustomerPatch]) -> None:
    rows = take_in(BRAND, Given.of(patches)).rows
    one_by_one: dict[str, Known] = {}
    folded: dict[str, Known] = {}
    for people in (one_by_one, folded):
        apply(take_in(BRAND, Given.of(before)).rows, people)

    apply(rows, one_by_one)
    result = fold(rows.copy())
    apply(result.rows, folded)

    assert folded == one_by_one
    assert len(set(result.rows.external_ids)) == len(result.rows)
    assert sorted([*result.rows.lines, *result.lines]) == rows.lines
