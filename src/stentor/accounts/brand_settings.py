"""Changes to a brand's settings, checked."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from stentor.accounts.model import PULL_DAYS_MAX, BrandSettings
from stentor.domain.address import InvalidAddress, is_region, normal_email
from stentor.domain.locale import normal_time_zone
from stentor.domain.policy import policy_violations
from stentor.domain.quiet_hours import violations_of
from stentor.domain.text import NOT_IN_A_LINE
from stentor.errors import Invalid, Violation, pointer_of_path, pointer_to

_DAY_S = 86_400
_NAMES = frozenset(BrandSettings.__struct_fields__)
_RULE = re.compile(r"(?P<rule>.*) - at `\$\.(?P<name>[a-z_]+)(?P<inside>[^`]*)`")
# What PostgreSQL cannot store. An address on paper has several lines.
_UNSTORABLE = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\ud800-\udfff]")


def changed_settings(present: BrandSettings, changes: Mapping[str, Any]) -> BrandSettings:
    """The settings with those changes, in their normal forms. Raises Invalid, naming each setting that is wrong."""
    if unknown := sorted(changes.keys() - _NAMES):
        sentence = "A brand has no such setting. It has: " + ", ".join(sorted(_NAMES)) + "."
        raise Invalid(sentence, violations=[Violation(pointer_to(name), "unknown-field", sentence) for name in unknown])
    try:
        settings = msgspec.convert({**msgspec.to_builtins(present), **msgspec.to_builtins(changes)}, BrandSettings)
    except msgspec.ValidationError as error:
        raise _broken_rule(str(error)) from None
    if violations := list(_violations(settings)):
        raise Invalid(violations[0].message, violations=violations)
    return _normal(settings)


def _violations(settings: BrandSettings) -> Iterator[Violation]:
    if normal_time_zone(settings.default_time_zone) is None:
        yield Violation(
            "/default_time_zone", "invalid-time-zone", "This is no time zone; send one like `Europe/Berlin`."
        )
    if settings.default_country and not is_region(settings.default_country.upper()):
        yield Violation("/default_country", "invalid-country", "This is no country; send its two letters, like `DE`.")
    if NOT_IN_A_LINE.search(settings.from_name):
        yield Violation("/from_name", "characters", "A name is one line of text; remove its control characters.")
    if _UNSTORABLE.search(settings.postal_address):
        yield Violation("/postal_address", "characters", "Remove the control characters; line breaks may stay.")
    yield from violations_of(settings.quiet_hours, "/quiet_hours")
    if settings.from_address and isinstance(refusal := normal_email(settings.from_address), InvalidAddress):
        yield Violation("/from_address", "invalid-email", refusal.reason)
    yield from policy_violations(settings.policy, "/policy")
    if not 1 <= settings.pull_within_s <= PULL_DAYS_MAX * _DAY_S:
        text = f"Say for how long, as a whole number with its unit, like `12h` or `7d`: {PULL_DAYS_MAX} days at most."
        yield Violation("/pull_within", "duration", text)


def _normal(settings: BrandSettings) -> BrandSettings:
    return msgspec.structs.replace(
        settings,
        default_time_zone=normal_time_zone(settings.default_time_zone),
        default_country=settings.default_country.upper() if settings.default_country else None,
        from_address=normal_email(settings.from_address) if settings.from_address else "",
    )


def _broken_rule(message: str) -> Invalid:
    place = _RULE.fullmatch(message)
    if place is None:
        return Invalid(f"The settings break a rule: {message}.")
    name, rule = place["name"], place["rule"]
    pointer = f"/{name}" + pointer_of_path(place["inside"])
    return Invalid.field(pointer, "invalid", f"The setting `{name}` breaks a rule: {rule}.")
