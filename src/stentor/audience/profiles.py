"""Profiles as callers of batches write them: `person`, `attributes` as names and values, `external_id`.

The sentences are those that such callers read from their frameworks ("The x field must be …"), with what to do where that
is not plain. A person's names are kept as the attributes `first_name` and `last_name`, which is what templates call them.
"""

import secrets
from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from uuid import UUID

import msgspec
from msgspec import UNSET, UnsetType

from stentor.audience.intake import ATTRIBUTES_MAX, Given, Intake, Refusal, take_in
from stentor.domain.address import ADDRESS_CHARS_MAX
from stentor.domain.ids import normal_external_id
from stentor.domain.locale import LOCALE_CHARS_MAX, TIME_ZONE_CHARS_MAX
from stentor.errors import Violation, pointer_to

NAME_CHARS_MAX = 255
ATTRIBUTE_NAME_CHARS_MAX = 255

NAMES = ("first_name", "last_name")
_PERSON = {
    "first_name": NAME_CHARS_MAX,
    "last_name": NAME_CHARS_MAX,
    "phone_number": ADDRESS_CHARS_MAX,
    "email_address": ADDRESS_CHARS_MAX,
    "locale": LOCALE_CHARS_MAX,
    "time_zone": TIME_ZONE_CHARS_MAX,
}

SYSTEM_FIELDS = frozenset(
    {
        *_PERSON,
        *("attributes", "email", "external_id", "metadata", "person", "phone", "push_tokens", "uuid"),
        *("brand", "context", "customer", "now", "preferences_url", "today", "unsubscribe_url", "view_url"),
    }
)
"""What no attribute may be called: a profile's own fields, a customer's, and the names that templates share."""

# Where a rule of the audience is broken, the field that callers of batches know it by.
_FIELD_OF = {
    "email": ("person", "email_address"),
    "phone": ("person", "phone_number"),
    "locale": ("person", "locale"),
    "time_zone": ("person", "time_zone"),
}
_ADDRESS_RULES = {
    "email": "must be a valid email address",
    "phone": "must be a valid phone number",
}
GENERATED_PREFIX = "EXT-"
_GENERATED_BYTES = 10


class Profile(msgspec.Struct, frozen=True, kw_only=True):
    """What was said of one person: UNSET is kept as it is, None is taken away.

    `is_named`: the caller gave the external id; otherwise it is one that was made for them, in case they are new.
    """

    place: int
    external_id: str
    is_named: bool
    email: str | UnsetType | None = UNSET
    phone: str | UnsetType | None = UNSET
    locale: str | UnsetType | None = UNSET
    time_zone: str | UnsetType | None = UNSET
    attributes: dict[str, Any] | UnsetType = UNSET


class Entrants(msgspec.Struct, frozen=True):
    """Profiles ready to be stored, and those that are refused, each with its place.

    `unnamed` are the places of those that came without an external id.
    """

    intake: Intake
    unnamed: frozenset[int]
    refused: list[Refusal]


class ProfileReader:
    """Reads profiles one by one, and collects what is wrong with them.

    `prefix` leads to the list that they stand in; without one each stands by itself, and `whole` is what that is called.
    """

    def __init__(self, prefix: Sequence[str] = (), *, whole: str = "line") -> None:
        self._prefix = prefix
        self._whole = whole
        self._place = 0
        self.profiles: list[Profile] = []
        self.refused: list[Refusal] = []

    def read(self, value: Any, place: int, *, address: bool = True, external_id: str | None = None) -> None:
        """Takes in what was said at that place.

        `address`: one is needed, as where people are new. With an `external_id`, what is read are changes of that person.
        """
        self._place = place
        before = len(self.refused)
        if not isinstance(value, Mapping):
            self.refuse((), "no-object", "must be an object")
            return
        name = self._external_id(value) if external_id is None else external_id
        person = self._person(value, address=address)
        attributes = self._attributes(value)
        if len(self.refused) > before:
            return
        names = {name: person[name] for name in NAMES if name in person}
        merged = names if attributes is UNSET else names | attributes
        self.profiles.append(
            Profile(
                place=place,
                external_id=generated_external_id() if name is None else name,
                is_named=name is not None,
                email=person.get("email_address", UNSET),
                phone=person.get("phone_number", UNSET),
                locale=person.get("locale", UNSET),
                time_zone=person.get("time_zone", UNSET),
                attributes=UNSET if attributes is UNSET and not names else merged,
            )
        )

    def refuse(self, steps: Iterable[str | int], code: str, rule: str, hint: str = "") -> None:
        """The field at these steps of the profile breaks that rule; `hint` is a sentence about what to do."""
        path = self._path(steps)
        text = f"The {'.'.join(map(str, path))} field {rule}." if path else f"The {self._whole} {rule}."
        self.refused.append(
            Refusal(self._place, Violation(pointer_to(*path), code, f"{text} {hint}".rstrip() if hint else text))
        )

    def _path(self, steps: Iterable[str | int]) -> tuple[str | int, ...]:
        return (*self._prefix, self._place, *steps) if self._prefix else tuple(steps)

    def _external_id(self, value: Mapping[str, Any]) -> str | None:
        said = value.get("external_id")
        if said is None:
            return None
        if not isinstance(said, str):
            self.refuse(("external_id",), "invalid-external-id", "must be a string")
            return None
        try:
            return normal_external_id(said)
        except ValueError as error:
            self.refuse(("external_id",), "invalid-external-id", "is invalid", str(error))
            return None

    def _person(self, value: Mapping[str, Any], *, address: bool) -> dict[str, str | None]:
        person = value.get("person")
        if person is None:
            if address:
                self.refuse(("person",), "missing", "is required")
            return {}
        if not isinstance(person, Mapping):
            self.refuse(("person",), "no-object", "must be an object")
            return {}
        said = {
            name: text for name in _PERSON if (text := self._field(person, name, is_change=not address)) is not UNSET
        }
        if address and not (said.get("phone_number") or said.get("email_address")):
            other = ".".join(map(str, self._path(("person", "email_address"))))
            self.refuse(("person", "phone_number"), "no-address", f"is required when {other} is not present")
        return said

    def _field(self, person: Mapping[str, Any], name: str, *, is_change: bool) -> str | UnsetType | None:
        text, most = person.get(name), _PERSON[name]
        if text is None:
            # To take something away, a change says null; forms send what nobody filled in as nothing.
            return None if is_change and name in person else UNSET
        if not isinstance(text, str):
            self.refuse(("person", name), "no-text", "must be a string")
        elif len(text) > most:
            self.refuse(("person", name), "too-long", f"must not be greater than {most} characters")
        elif text.strip():
            return text.strip() if name in NAMES else text
        return UNSET

    def _attributes(self, value: Mapping[str, Any]) -> dict[str, Any] | UnsetType:
        said = value.get("attributes")
        if said is None:
            return UNSET
        if not isinstance(said, list):
            self.refuse(("attributes",), "no-list", "must be an array", 'Write [{"name": "Tier", "value": "Gold"}].')
            return UNSET
        if len(said) > ATTRIBUTES_MAX:
            self.refuse(("attributes",), "too-many-attributes", f"must not have more than {ATTRIBUTES_MAX} items")
            return UNSET
        if (plain := _plain_attributes(said)) is not None:
            return plain
        attributes: dict[str, Any] = {}
        for index, attribute in enumerate(said):
            self._attribute(attribute, index, attributes)
        return attributes

    def _attribute(self, attribute: Any, index: int, attributes: dict[str, Any]) -> None:
        if not isinstance(attribute, Mapping):
            self.refuse(("attributes", index), "no-object", "must be an object", "Give it a name and a value.")
            return
        name, at = attribute.get("name"), ("attributes", index, "name")
        if not isinstance(name, str) or not name.strip():
            self.refuse(at, "missing", "is required")
        elif len(name) > ATTRIBUTE_NAME_CHARS_MAX:
            self.refuse(at, "too-long", f"must not be greater than {ATTRIBUTE_NAME_CHARS_MAX} characters")
        elif name in SYSTEM_FIELDS:
            hint = f"Say it as person.{name}." if name in _PERSON else "Choose another name."
            self.refuse(at, "reserved-name", f"must not be {name!r}, which is a field of its own", hint)
        elif name in attributes:
            self.refuse(at, "repeated", "has a duplicate value")
        elif "value" not in attribute:
            self.refuse(("attributes", index, "value"), "missing", "is required", "Null takes the attribute away.")
        else:
            attributes[name] = attribute["value"]

    def entrants(self, brand_id: UUID, *, region: str | None) -> Entrants:
        """The profiles read so far, as rows; `region` is the country of phone numbers without a country code."""
        given = Given(
            lines=[profile.place for profile in self.profiles],
            external_ids=[profile.external_id for profile in self.profiles],
            emails=[profile.email for profile in self.profiles],
            phones=[profile.phone for profile in self.profiles],
            push_tokens=[UNSET] * len(self.profiles),
            locales=[profile.locale for profile in self.profiles],
            time_zones=[profile.time_zone for profile in self.profiles],
            attributes=[profile.attributes for profile in self.profiles],
        )
        intake = take_in(brand_id, given, region=region)
        for refusal in (*intake.warnings, *intake.refused):
            self._place = refusal.line
            self._refuse_as_told(refusal.violation)
        unusable = {refusal.line for refusal in intake.warnings}
        rows = intake.rows
        if unusable:
            rows = rows.without([place for place, line in enumerate(rows.lines) if line in unusable])
        unnamed = frozenset(profile.place for profile in self.profiles if not profile.is_named)
        return Entrants(Intake(rows, [], []), unnamed, self.refused)

    def _refuse_as_told(self, violation: Violation) -> None:
        field = violation.pointer.removeprefix("/").partition("/")[0]
        rule = _ADDRESS_RULES.get(field, "is invalid")
        self.refuse(_FIELD_OF.get(field, (field,)), violation.code, rule, violation.message)


def _plain_attributes(said: list[Any]) -> dict[str, Any] | None:
    """The attributes where nothing is wrong with any of them: streams have ten million of these."""
    try:
        attributes = {attribute["name"]: attribute["value"] for attribute in said}
    except (TypeError, KeyError):
        return None
    if len(attributes) != len(said) or not SYSTEM_FIELDS.isdisjoint(attributes):
        return None
    for name in attributes:
        if name.__class__ is not str or len(name) > ATTRIBUTE_NAME_CHARS_MAX or not name or name.isspace():
            return None
    return attributes


def generated_external_id() -> str:
    """An external id for somebody who came without one: enough random bits that no two people ever share it."""
    return GENERATED_PREFIX + secrets.token_hex(_GENERATED_BYTES)
