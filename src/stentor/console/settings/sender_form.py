"""The form of a sender: what each kind has to be told, as fields, and fields as what the service takes."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, cast

import msgspec
from msgspec import UNSET

from stentor.channels.model import (
    NAME_CHARS_MAX,
    InDoubtPolicy,
    NewSender,
    Sender,
    SenderKind,
    SenderPatch,
)
from stentor.console.fields import FieldView, Options
from stentor.domain.vocabulary import CHANNEL_LABELS, ChannelKind
from stentor.errors import Invalid, NotFound, Violation

KINDS: Mapping[SenderKind, str] = {"smtp": "an SMTP relay", "webhook": "a webhook", "sandbox": "the sandbox inbox"}
"""The kinds that can be made, and what they are called."""

IN_DOUBT: Options = (
    ("", "webhooks and transactional campaigns are sent again, all else is not"),
    ("at_most_once", "nothing is sent again; it counts as unknown"),
    ("at_least_once", "it is sent again, perhaps twice"),
    ("ask", "it counts as unknown until somebody decides"),
)


class _Said(msgspec.Struct, frozen=True, kw_only=True):
    """A setting of a kind."""

    name: str
    label: str
    kind: Literal["text", "whole", "number", "flag", "select"] = "text"
    hint: str = ""
    options: Options = ()
    chars_max: int = 320


_S = "Seconds."
_SETTINGS: Mapping[SenderKind, Sequence[_Said]] = {
    "smtp": (
        _Said(name="host", label="Host", hint="smtp.example.org"),
        _Said(name="port", label="Port", kind="whole", hint="587 with STARTTLS, 465 with TLS."),
        _Said(
            name="security",
            label="Security",
            kind="select",
            options=(("starttls", "STARTTLS"), ("tls", "TLS"), ("none", "none")),
        ),
        _Said(name="envelope_from", label="Envelope from", hint="Where bounces go: bounces@example.org"),
        _Said(name="username", label="User name", hint="Empty where the relay asks for none."),
        _Said(name="ehlo_name", label="EHLO name", hint="Empty: the domain of the envelope."),
        _Said(name="connections_max", label="Connections at once", kind="whole"),
        _Said(name="in_flight_max", label="Messages on the wire per connection", kind="whole"),
        _Said(name="connect_timeout_s", label="Time to connect", kind="number", hint=_S),
        _Said(name="command_timeout_s", label="Time for a command", kind="number", hint=_S),
        _Said(name="final_reply_timeout_s", label="Time for the last reply", kind="number", hint=_S),
        _Said(name="idle_timeout_s", label="Time an idle connection is kept", kind="number", hint=_S),
        _Said(name="verify_tls", label="Check the relay's certificate", kind="flag"),
    ),
    "webhook": (
        _Said(name="url", label="URL", hint="https://hooks.example.org/stentor", chars_max=2_000),
        _Said(name="batch_max", label="Messages in one request", kind="whole"),
        _Said(name="connections_max", label="Connections at once", kind="whole"),
        _Said(name="connect_timeout_s", label="Time to connect", kind="number", hint=_S),
        _Said(name="timeout_s", label="Time for a request", kind="number", hint=_S),
    ),
    "sandbox": (),
    "listener": (),
}
_SECRETS: Mapping[SenderKind, tuple[str, str]] = {
    "smtp": ("Password", "That goes with the user name."),
    "webhook": ("Signing secret", "whsec_…; while it changes, the new one first, with a blank between."),
}
_CHANNEL_OF: Mapping[SenderKind, str] = {"smtp": "email", "webhook": "webhook"}
_NUMBER_CHARS_MAX = 20


def kind_of(text: str) -> SenderKind:
    """The kind of that name. Raises NotFound for one that cannot be made."""
    if text not in KINDS:
        raise NotFound("There is no such kind of sender.")
    return cast("SenderKind", text)


def fields_of(sender: Sender) -> dict[str, str]:
    """A sender as its form has it."""
    settings = {f"s-{name}": _shown(value) for name, value in sender.settings.items()}
    pace = sender.pace_per_s
    return {
        **settings,
        "name": sender.name,
        "channel": sender.channel.label,
        "in_doubt": sender.in_doubt or "",
        "pace_per_s": "" if pace is None else f"{pace:g}",
        "enabled": "yes" if sender.enabled else "",
    }


def blank(kind: SenderKind) -> dict[str, str]:
    """The form of a sender that is not there yet."""
    usual = {"smtp": {"s-security": "starttls", "s-verify_tls": "yes", "s-port": "587"}}.get(kind, {})
    return {"enabled": "yes", **usual}


def views(kind: SenderKind, texts: Mapping[str, str], errors: Mapping[str, str], *, is_new: bool) -> list[FieldView]:
    """All fields of the form but its check boxes."""
    shown = [_view("name", "Name", texts, errors, chars_max=NAME_CHARS_MAX)]
    if kind == "sandbox" and is_new:
        channels = [(name, name.replace("_", " ")) for name in CHANNEL_LABELS]
        shown.append(_view("channel", "Channel", texts, errors, widget="select", options=channels))
    shown += [
        _view(
            f"s-{each.name}",
            each.label,
            texts,
            errors,
            widget=each.kind,
            options=each.options,
            hint=each.hint,
            chars_max=each.chars_max,
        )
        for each in _SETTINGS[kind]
        if each.kind != "flag"
    ]
    shown.append(
        _view(
            "pace_per_s",
            "Messages a second",
            texts,
            errors,
            widget="number",
            hint="Over all processes. Empty: no limit.",
        )
    )
    shown.append(_view("in_doubt", "When a reply was lost", texts, errors, widget="select", options=IN_DOUBT))
    return shown


def flags(kind: SenderKind, texts: Mapping[str, str]) -> list[tuple[str, str, bool]]:
    """Its check boxes: name, label, and whether each is ticked."""
    told = [(f"s-{each.name}", each.label) for each in _SETTINGS[kind] if each.kind == "flag"]
    return [(name, label, texts.get(name) == "yes") for name, label in [*told, ("enabled", "Switched on")]]


def secret_of(kind: SenderKind) -> tuple[str, str] | None:
    """What the secret of that kind is called, and what to know of it; None where it has none."""
    return _SECRETS.get(kind)


def places(kind: SenderKind) -> dict[str, str]:
    """Which field each pointer of a problem is about."""
    named = {f"/{name}": name for name in ("name", "channel", "secret", "pace_per_s", "in_doubt")}
    return named | {f"/settings/{each.name}": f"s-{each.name}" for each in _SETTINGS[kind]}


def new_sender(kind: SenderKind, form: Mapping[str, str]) -> NewSender:
    """What the form says of a new sender. Raises Invalid that names each field which holds no number."""
    label = _CHANNEL_OF.get(kind) or form.get("channel", "")
    if label not in CHANNEL_LABELS:
        raise Invalid.field("/channel", "channel", "Choose a channel.")
    settings, pace = _numbers(kind, form)
    return NewSender(
        name=form.get("name", "").strip(),
        channel=ChannelKind.named(label),
        kind=kind,
        settings=settings,
        secret=form.get("secret", ""),
        enabled=form.get("enabled") == "yes",
        in_doubt=_in_doubt(form),
        pace_per_s=pace,
    )


def changes(sender: Sender, form: Mapping[str, str]) -> SenderPatch:
    """What the form changes; a secret that is left empty stays. Raises as `new_sender`."""
    settings, pace = _numbers(sender.kind, form)
    secret = form.get("secret", "")
    forgets = form.get("forget_secret") == "yes"
    return SenderPatch(
        name=form.get("name", "").strip(),
        settings=settings,
        secret="" if forgets else secret or UNSET,
        enabled=form.get("enabled") == "yes",
        in_doubt=_in_doubt(form),
        pace_per_s=pace,
    )


def _numbers(kind: SenderKind, form: Mapping[str, str]) -> tuple[dict[str, Any], float | None]:
    wrong: list[Violation] = []
    settings: dict[str, Any] = {}
    for each in _SETTINGS[kind]:
        text = form.get(f"s-{each.name}", "").strip()
        if each.kind == "flag":
            settings[each.name] = text == "yes"
        elif text and each.kind in {"whole", "number"}:
            settings[each.name] = _number(text, f"/settings/{each.name}", wrong, is_whole=each.kind == "whole")
        elif text:
            settings[each.name] = text
    said = form.get("pace_per_s", "").strip()
    pace = _number(said, "/pace_per_s", wrong) if said else None
    if wrong:
        raise Invalid(wrong[0].message, violations=wrong)
    return settings, pace


def _number(text: str, pointer: str, wrong: list[Violation], *, is_whole: bool = False) -> float:
    try:
        if len(text) <= _NUMBER_CHARS_MAX and text.isascii():
            return int(text) if is_whole else float(text)
    except ValueError:
        pass
    wrong.append(Violation(pointer, "number", f"Write a {'whole ' if is_whole else ''}number."))
    return 0


def _in_doubt(form: Mapping[str, str]) -> InDoubtPolicy | None:
    said = form.get("in_doubt", "")
    return cast("InDoubtPolicy", said) if said and said in dict(IN_DOUBT) else None


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else ""
    return f"{value:g}" if isinstance(value, float) else str(value)


def _view(
    id_: str,
    label: str,
    texts: Mapping[str, str],
    errors: Mapping[str, str],
    *,
    widget: str = "text",
    options: Options = (),
    hint: str = "",
    chars_max: int = _NUMBER_CHARS_MAX,
) -> FieldView:
    return FieldView(
        id=id_,
        label=label,
        widget=widget,
        value=texts.get(id_, ""),
        options=options,
        hint=hint,
        error=errors.get(id_, ""),
        chars_max=chars_max,
    )
