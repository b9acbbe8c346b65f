"""Settings of a brand that are one value each, by the pages on which they stand, and as fields of a form."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import msgspec

from stentor.accounts.model import (
    AUDIT_DAYS_MAX,
    AUDIT_DAYS_MIN,
    HISTORY_DAYS_MIN,
    KEPT_DAYS_MAX,
    NAME_CHARS_MAX,
    POSTAL_ADDRESS_CHARS_MAX,
    PULL_DAYS_MAX,
    SANDBOX_DAYS_MAX,
    BrandSettings,
)
from stentor.console.fields import FieldView, Options
from stentor.domain.address import ADDRESS_CHARS_MAX
from stentor.errors import Invalid, Violation

_DIGITS_MAX = 9


class Plain(msgspec.Struct, frozen=True, kw_only=True):
    """A setting as a field. `is_optional`: an empty field is a value, too; `organisation_alone`: a role in the brand changes it not."""

    name: str
    label: str
    widget: Literal["text", "lines", "whole", "select", "flag"] = "whole"
    hint: str = ""
    options: Options = ()
    chars_max: int = _DIGITS_MAX
    is_optional: bool = False
    organisation_alone: bool = False


class Group(msgspec.Struct, frozen=True):
    """Settings that stand together."""

    title: str
    about: str
    settings: tuple[Plain, ...]


_CALLS = "0 lifts it."

PAGES: Mapping[str, tuple[Group, ...]] = {
    "": (
        Group(
            "What messages say",
            "Templates read them as brand.…; laws of many countries ask for them in e-mails.",
            (
                Plain(name="from_name", label="From, the name", widget="text", chars_max=NAME_CHARS_MAX),
                Plain(
                    name="from_address", label="From, the e-mail address", widget="text", chars_max=ADDRESS_CHARS_MAX
                ),
                Plain(
                    name="color",
                    label="Colour",
                    widget="text",
                    chars_max=7,
                    hint="Of the pages that subscribers see, as #1b3a6b; empty: Stentor's own.",
                ),
                Plain(
                    name="postal_address",
                    label="Postal address",
                    widget="lines",
                    chars_max=POSTAL_ADDRESS_CHARS_MAX,
                    hint="In the footer of e-mails, line by line.",
                ),
            ),
        ),
        Group(
            "Where people are",
            "What holds for somebody of whom no time zone and no country is known.",
            (
                Plain(
                    name="default_time_zone",
                    label="Time zone",
                    widget="text",
                    chars_max=64,
                    hint="As Europe/Berlin. The days of reports to partners begin by it, too.",
                ),
                Plain(
                    name="default_country",
                    label="Country",
                    widget="text",
                    chars_max=2,
                    is_optional=True,
                    hint="Two letters, as DE: its national phone numbers are read. Empty: numbers begin with +.",
                ),
            ),
        ),
    ),
    "limits": (
        Group(
            "Calls",
            "Over all processes together. What is more is asked to come again.",
            (
                Plain(name="run_rate_per_s", label="Run calls a second"),
                Plain(name="key_rate_per_s", label="Other calls of a key a second", hint=_CALLS),
                Plain(name="user_rate_per_min", label="Calls of a user about batches a minute", hint=_CALLS),
                Plain(name="batch_rate_per_min", label="Batches a minute", hint=_CALLS),
                Plain(name="batch_profiles_max", label="Profiles of one batch"),
                Plain(name="optout_rate_per_s", label="Calls of a key to the opt-out list API a second"),
                Plain(name="hub_rate_per_10_s", label="Calls of a partner in ten seconds", hint=_CALLS),
            ),
        ),
        Group(
            "Outside services and preference paths",
            "",
            (
                Plain(
                    name="pull_within",
                    label="A list has to be pulled within",
                    widget="text",
                    hint=f"As 12h or 7d, {PULL_DAYS_MAX} days at most; who is left then is skipped.",
                ),
                Plain(
                    name="metrics_mode",
                    label="A total that a partner reports again",
                    widget="select",
                    options=(("replace", "stands in the place of the one before"), ("add", "is added to it")),
                ),
                Plain(name="preferences_enabled", label="Answer the preference paths that carry no key", widget="flag"),
                Plain(
                    name="unauthenticated_opt_in_counts",
                    label="An opt-in without a key counts at once; else it waits for its confirmation",
                    widget="flag",
                ),
            ),
        ),
    ),
    "retention": (
        Group(
            "How long things are kept, in days",
            "What is older goes step by step, from the next minute on, and does not come back when days are raised again. Opt-outs, "
            "consents and daily totals stay.",
            (
                Plain(
                    name="history_days",
                    label="Executions with their sends",
                    is_optional=True,
                    hint=f"{HISTORY_DAYS_MIN} to {KEPT_DAYS_MAX:,}; empty: as long as the installation keeps them.",
                ),
                Plain(
                    name="payload_days",
                    label="What calls said and providers answered",
                    is_optional=True,
                    hint="Empty: as long as executions.",
                ),
                Plain(
                    name="event_days",
                    label="Events of customers",
                    is_optional=True,
                    hint="Empty: as long as executions.",
                ),
                Plain(name="batch_days", label="Who was in a batch", is_optional=True, hint="Empty: for ever."),
                Plain(
                    name="audit_days",
                    label="The brand's audit log",
                    is_optional=True,
                    organisation_alone=True,
                    hint=f"{AUDIT_DAYS_MIN} to {AUDIT_DAYS_MAX:,}; empty: as long as the installation keeps it. Changed by those alone "
                    "who may in the whole organisation.",
                ),
                Plain(name="sandbox_days", label="Messages in the sandbox inbox", hint=f"At most {SANDBOX_DAYS_MAX}."),
                Plain(name="sandbox_messages_max", label="Messages in the sandbox inbox, at most"),
            ),
        ),
    ),
}
"""The pages of plain settings by the section that they are."""


def settings_of(section: str) -> list[Plain]:
    """The settings of that page."""
    return [each for group in PAGES[section] for each in group.settings]


def views(
    group: Group, settings: BrandSettings, typed: Mapping[str, str] | None, errors: Mapping[str, str]
) -> list[tuple[Plain, FieldView]]:
    """The fields of a group: as somebody typed them, or else as the settings are."""
    return [
        (
            each,
            FieldView(
                id=each.name,
                label=each.label,
                widget=each.widget,
                value=_shown(each, getattr(settings, each.name)) if typed is None else typed.get(each.name, ""),
                options=each.options,
                hint=each.hint,
                error=errors.get(each.name, ""),
                chars_max=each.chars_max,
            ),
        )
        for each in group.settings
    ]


def changes_in(form: Mapping[str, str], settings: Sequence[Plain]) -> dict[str, Any]:
    """What the form says of these settings. Raises Invalid that names each field which holds no number."""
    violations: list[Violation] = []
    changes: dict[str, Any] = {}
    for each in settings:
        text = form.get(each.name, "").replace("\r\n", "\n").strip()
        if each.widget == "flag":
            changes[each.name] = text == "yes"
        elif not text and each.is_optional:
            changes[each.name] = None
        elif each.widget != "whole":
            changes[each.name] = text
        elif text.isascii() and text.isdigit() and len(text) <= _DIGITS_MAX:
            changes[each.name] = int(text)
        else:
            violations.append(Violation(f"/{each.name}", "whole", "Write a whole number."))
    if violations:
        raise Invalid(violations[0].message, violations=violations)
    return changes


def _shown(setting: Plain, value: Any) -> str:
    if setting.widget == "flag":
        return "yes" if value else ""
    return "" if value is None else str(value)
