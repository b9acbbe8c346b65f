"""What is said of people becomes rows, or a reason why not."""

from uuid import UUID

import msgspec
import pytest

from stentor.audience.intake import CLEARS, EMAIL, PHONE, PUSH_TOKENS, Given, customer_ids, take_in
from stentor.audience.model import CustomerPatch
from stentor.domain.address import EMAIL_CHANNELS, PHONE_CHANNELS, TOKEN_CHANNELS, email_digest
from stentor.domain.ids import customer_id

BRAND = UUID("018f0000-0000-7000-8000-000000000001")


def nested(levels: int) -> dict[str, object]:
    value: dict[str, object] = {"end": 1}
    for _ in range(levels - 1):
        value = {"in": value}
    return value


@pytest.mark.parametrize(
    ("patch", "pointer"),
    [
        (CustomerPatch(external_id=""), "/external_id"),
        (CustomerPatch(external_id="x" * 256), "/external_id"),
        (CustomerPatch(external_id="a\x00"), "/external_id"),
        (CustomerPatch(external_id="\ud800"), "/external_id"),
        (CustomerPatch(external_id="ann", locale="english"), "/locale"),
        (CustomerPatch(external_id="ann", time_zone="Mars/Olympus"), "/time_zone"),
        (CustomerPatch(external_id="ann", push_tokens=["a,b"]), "/push_tokens/0"),
        (CustomerPatch(external_id="ann", push_tokens=["a", ""]), "/push_tokens/1"),
        (CustomerPatch(external_id="ann", push_tokens=["a", "b\n"]), "/push_tokens/1"),
        (CustomerPatch(external_id="ann", push_tokens=["t" * 4097]), "/push_tokens/0"),
        (CustomerPatch(external_id="ann", push_tokens=["t"] * 21), "/push_tokens"),
        (CustomerPatch(external_id="ann", attributes={"": 1}), "/attributes"),
        (CustomerPatch(external_id="ann", attributes={"a": "\x00"}), "/attributes"),
        (CustomerPatch(external_id="ann", attributes={"a": "\\\x00"}), "/attributes"),
        (CustomerPatch(external_id="ann", attributes={"\x00": None}), "/attributes"),
        (CustomerPatch(external_id="ann", attributes={"a": "\ud800"}), "/attributes"),
        (CustomerPatch(external_id="ann", attributes={"a": "x" * 65_536}), "/attributes"),
        (CustomerPatch(external_id="ann", attributes={str(n): n for n in range(1001)}), "/attributes"),
        (CustomerPatch(external_id="ann", attributes=nested(33)), "/attributes"),
        (CustomerPatch(external_id="ann", attributes={"a": [[[nested(30)]]]}), "/attributes"),
    ],
)
def test_what_breaks_a_rule_is_refused_with_its_place(patch: CustomerPatch, pointer: str):
    intake = take_in(BRAND, Given.of([CustomerPatch(external_id="bob"), patch], lines=[7, 8]))

    assert intake.rows.external_ids == ["bob"]
    assert [(refusal.line, refusal.violation.pointer) for refusal in intake.refused] == [(8, pointer)]


def test_attributes_nest_up_to_32_levels_and_brackets_in_text_do_not_count():
    patches = [
        CustomerPatch(external_id="ann", attributes=nested(32)),
        CustomerPatch(external_id="bob", attributes={"text": "[{" * 100}),
        CustomerPatch(external_id="eve", attributes={str(n): {} for n in range(100)}),
    ]

    intake = take_in(BRAND, Given.of(patches))

    assert intake.refused == []


@pytest.mark.parametrize(
    "attributes",
    [
        {"a": "1", "b": 2.5, "c": True},
        {"a": "\u2028\u0085\x0b\n\r"},
        {"a": "null [ { \\u0000"},
        {"a": '"":'},
        {"a": None, "b": 1},
        {"a": {"b": None}, "c": []},
        {"é": "ß" * 20_000},
        {"a": "x" * 60_000},
    ],
)
def test_attributes_stored_together_are_those_stored_alone(attributes: dict[str, object]):
    plain = CustomerPatch(external_id="bob", attributes={"plain": "text"})
    rich = CustomerPatch(external_id="ann", attributes=attributes)

    alone = take_in(BRAND, Given.of([rich])).rows
    together = take_in(BRAND, Given.of([plain, CustomerPatch(external_id="eve"), rich, plain])).rows

    assert together.attributes == ['{"plain":"text"}', "{}", alone.attributes[0], '{"plain":"text"}']
    assert together.removed == ["", "", alone.removed[0], ""]
    kept = {name: value for name, value in attributes.items() if value is not None}
    assert msgspec.json.decode(alone.attributes[0]) == kept
    assert together.given == [32, 0, 32, 32]


def test_rows_say_what_was_given_and_what_each_channel_has_now():
    patches = [
        CustomerPatch(external_id="ann", email="Ann@Example.com", phone=None, push_tokens=["t", "t"]),
        CustomerPatch(external_id="bob", email=" ", phone="12", attributes=None),
    ]

    rows = take_in(BRAND, Given.of(patches)).rows

    assert rows.customer_ids == [customer_id(BRAND, "ann").hex, customer_id(BRAND, "bob").hex]
    assert [rows.given[0], rows.given[1] & ~CLEARS] == [EMAIL | PHONE | PUSH_TOKENS, EMAIL | PHONE | 32]
    assert rows.touched == [EMAIL_CHANNELS | PHONE_CHANNELS | TOKEN_CHANNELS, EMAIL_CHANNELS | PHONE_CHANNELS]
    assert rows.addresses == [EMAIL_CHANNELS | TOKEN_CHANNELS, PHONE_CHANNELS]
    assert rows.valid == [EMAIL_CHANNELS | TOKEN_CHANNELS, 0]
    assert rows.emails == ["Ann@example.com", None]
    assert rows.email_digests == [email_digest("ann@example.com").hex(), None]
    assert (rows.phones, rows.phone_digests) == ([None, "12"], [None, None])
    assert rows.push_tokens == ["t", ""]


def test_what_a_warning_shows_of_an_address_can_be_stored():
    intake = take_in(
        BRAND, Given.of([CustomerPatch(external_id="ann", email="\x00\ud800" + "x" * 1000, phone="\x1f1")])
    )

    assert intake.rows.emails == ["\ufffd\ufffd" + "x" * 318]
    assert intake.rows.phones == ["\ufffd1"]
    assert [warning.violation.code for warning in intake.warnings] == ["invalid-email", "invalid-phone"]


def test_ids_made_together_are_the_ids_made_one_by_one():
    names = ["ann", "é", "a\x1fb", "x" * 255]

    assert customer_ids(BRAND, names) == [customer_id(BRAND, name).hex for name in names]
