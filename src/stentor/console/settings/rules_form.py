"""Caps and quiet hours as rows of a form. What only the API says of a cap (topics, campaigns, tags) stays as it is."""

import re
from collections.abc import Mapping
from typing import Any

import msgspec

from stentor.accounts.model import Brand, BrandSettings
from stentor.console.fields import FieldView, Options
from stentor.console.pages import channel_name
from stentor.domain.policy import CAPS_MAX, BrandCap
from stentor.domain.quiet_hours import RULES_MAX, QuietRule, presets
from stentor.domain.vocabulary import CHANNEL_LABELS
from stentor.errors import Conflict, Invalid, Violation

ROWS_MAX = 2 * max(CAPS_MAX, RULES_MAX)

SEEN = "seen"
"""The field that says which state of the brand the form was drawn from."""

_ROW = re.compile(r"(q|c)-(\d{1,2})-([a-z_]+)", re.ASCII)
_LISTS = frozenset({"days", "channels", "holidays"})
_KEPT = ("topics", "campaigns", "tags")
_DIGITS_MAX = 9
_ACTIONS: Options = (("hold", "wait until it is over"), ("skip", "are skipped"))

_Row = dict[str, str]


class RowView(msgspec.Struct, frozen=True):
    """A row as it is drawn: its fields, what is kept beside them, and the value of the button that takes it away."""

    title: str
    fields: list[FieldView]
    kept: str
    was: str
    remove: str


class RulesForm(msgspec.Struct, frozen=True, kw_only=True):
    """Quiet hours, caps, and how many an hour by channel, as texts of fields."""

    seen: str
    quiet: list[_Row]
    caps: list[_Row]
    per_hour: Mapping[str, str]

    @classmethod
    def of(cls, brand: Brand) -> "RulesForm":
        """The rules of a brand."""
        settings = brand.settings
        return cls(
            seen=brand.updated_at.isoformat(),
            quiet=[_quiet_row(rule) for rule in settings.quiet_hours],
            caps=[_cap_row(cap, place) for place, cap in enumerate(settings.policy.caps)],
            per_hour={name: str(at_most) for name, at_most in settings.policy.per_hour.items()},
        )

    @classmethod
    def posted(cls, form: Mapping[str, str]) -> "RulesForm":
        """The rules of a form, with a row more or less where its button asks for that. Rows that say nothing are left out."""
        found: dict[str, dict[int, _Row]] = {"q": {}, "c": {}}
        for name, text in form.items():
            if match := _ROW.fullmatch(name):
                found[match[1]].setdefault(int(match[2]), {})[match[3]] = text.strip()
        what, _, which = form.get("do", "").partition(" ")
        rows = {kind: [row for _, row in sorted(each.items())][:ROWS_MAX] for kind, each in found.items()}
        kind, _, place = which.partition("-")
        if what == "remove" and kind in rows and place.isdecimal() and len(place) < 3 and int(place) < len(rows[kind]):
            rows[kind].pop(int(place))
        kept = {name: [row for row in each if _says_something(row)] for name, each in rows.items()}
        if what == "add" and kind in kept:
            kept[kind].append({})
        return cls(
            seen=form.get(SEEN, ""),
            quiet=kept["q"],
            caps=kept["c"],
            per_hour={name: text for name in CHANNEL_LABELS if (text := form.get(f"h-{name}", "").strip())},
        )

    def changes(self, brand: Brand) -> dict[str, Any]:
        """What the form says, as settings of the brand.

        Raises Conflict where the brand was changed since the form was drawn: what a cap keeps is found by its place. Raises
        Invalid that names each field which holds no number.
        """
        if self.seen != brand.updated_at.isoformat():
            raise Conflict("Somebody changed the brand's settings meanwhile. Load the page anew, and change it there.")
        wrong: list[Violation] = []
        caps = [self._cap(row, f"/policy/caps/{place}", brand.settings, wrong) for place, row in enumerate(self.caps)]
        per_hour = {name: _whole(text, f"/policy/per_hour/{name}", wrong) for name, text in self.per_hour.items()}
        if wrong:
            raise Invalid(wrong[0].message, violations=wrong)
        return {"quiet_hours": [_quiet(row) for row in self.quiet], "policy": {"caps": caps, "per_hour": per_hour}}

    def quiet_views(self, errors: Mapping[str, str]) -> list[RowView]:
        """Quiet hours as rows."""
        return [
            RowView(
                f"Quiet hours {place + 1}",
                [
                    _field(
                        f"q-{place}-preset", "By a law", row, errors, options=[("", "hours of our own"), *_presets()]
                    ),
                    _field(f"q-{place}-from", "From", row, errors, hint="21:00"),
                    _field(f"q-{place}-to", "To", row, errors, hint="08:00"),
                    _field(f"q-{place}-days", "Days", row, errors, hint="mon, tue; empty: all"),
                    _field(f"q-{place}-channels", "Channels", row, errors, hint="sms, push; empty: all"),
                    _field(f"q-{place}-holidays", "Holidays", row, errors, hint="2026-12-25, …"),
                    _field(f"q-{place}-action", "Messages", row, errors, options=_ACTIONS),
                ],
                "",
                "",
                f"remove q-{place}",
            )
            for place, row in enumerate(self.quiet)
        ]

    def cap_views(self, settings: BrandSettings, errors: Mapping[str, str]) -> list[RowView]:
        """Caps as rows."""
        return [
            RowView(
                f"Cap {place + 1}",
                [
                    _field(f"c-{place}-at_most", "At most", row, errors, widget="whole"),
                    _field(f"c-{place}-per", "In any", row, errors, hint="24h, 7d"),
                    _field(f"c-{place}-channels", "Channels", row, errors, hint="sms, push; empty: all"),
                ],
                ", ".join(f"{name}: {', '.join(map(str, values))}" for name, values in _kept(row, settings).items()),
                row.get("was", ""),
                f"remove c-{place}",
            )
            for place, row in enumerate(self.caps)
        ]

    def hour_views(self, errors: Mapping[str, str]) -> list[FieldView]:
        """How many an hour, by channel."""
        return [
            FieldView(
                id=f"h-{name}",
                label=channel_name(name),
                widget="whole",
                value=self.per_hour.get(name, ""),
                error=errors.get(f"h-{name}", ""),
                chars_max=_DIGITS_MAX,
            )
            for name in CHANNEL_LABELS
        ]

    @property
    def places(self) -> dict[str, str]:
        """Which field each pointer of a problem is about."""
        found = {f"/policy/per_hour/{name}": f"h-{name}" for name in CHANNEL_LABELS}
        for place in range(len(self.quiet)):
            found[f"/quiet_hours/{place}"] = f"q-{place}-from"
            for name in ("preset", "from", "to", "days", "channels", "holidays", "action"):
                found[f"/quiet_hours/{place}/{name}"] = f"q-{place}-{name}"
        for place in range(len(self.caps)):
            found[f"/policy/caps/{place}"] = f"c-{place}-per"
            for name in ("at_most", "per", "channels"):
                found[f"/policy/caps/{place}/{name}"] = f"c-{place}-{name}"
        return found

    @staticmethod
    def _cap(row: _Row, pointer: str, settings: BrandSettings, wrong: list[Violation]) -> dict[str, Any]:
        return {
            "at_most": _whole(row.get("at_most", ""), f"{pointer}/at_most", wrong),
            "per": row.get("per", ""),
            "channels": _words(row.get("channels", "")),
            **_kept(row, settings),
        }


def _quiet_row(rule: QuietRule) -> _Row:
    said: dict[str, Any] = msgspec.to_builtins(rule)
    return {name: ", ".join(value) if name in _LISTS else str(value) for name, value in said.items()}


def _quiet(row: _Row) -> dict[str, Any]:
    return {
        name: _words(text) if name in _LISTS else text
        for name in ("preset", "from", "to", "days", "channels", "holidays", "action")
        if (text := row.get(name, ""))
    }


def _cap_row(cap: BrandCap, place: int) -> _Row:
    return {"at_most": str(cap.at_most), "per": cap.per, "channels": ", ".join(cap.channels), "was": str(place)}


def _kept(row: _Row, settings: BrandSettings) -> dict[str, Any]:
    """What the cap that the row was drawn from says beside its fields."""
    was, caps = row.get("was", ""), settings.policy.caps
    if not was.isdecimal() or len(was) > 2 or int(was) >= len(caps):
        return {}
    said: dict[str, tuple[Any, ...]] = {name: getattr(caps[int(was)], name) for name in _KEPT}
    return {name: values for name, values in said.items() if values}


def _says_something(row: _Row) -> bool:
    return any(text for name, text in row.items() if name not in {"was", "action"})


def _words(text: str) -> list[str]:
    return [word for each in text.split(",") if (word := each.strip().lower())]


def _whole(text: str, pointer: str, wrong: list[Violation]) -> int:
    if text.isascii() and text.isdigit() and len(text) <= _DIGITS_MAX:
        return int(text)
    wrong.append(Violation(pointer, "whole", "Write a whole number."))
    return 0


def _presets() -> Options:
    return [(name, preset.title) for name, preset in presets().items()]


def _field(
    id_: str,
    label: str,
    row: _Row,
    errors: Mapping[str, str],
    *,
    hint: str = "",
    options: Options = (),
    widget: str = "text",
) -> FieldView:
    return FieldView(
        id=id_,
        label=label,
        widget="select" if options else widget,
        value=row.get(id_.rpartition("-")[2], ""),
        options=options,
        hint=hint,
        error=errors.get(id_, ""),
    )
