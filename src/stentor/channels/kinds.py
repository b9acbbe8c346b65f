"""The kinds of sender there are: what each must be told, and the channel it opens. A new kind is added here."""

from collections.abc import Mapping
from typing import Any, assert_never

import msgspec

from stentor.channels.contract import Channel
from stentor.channels.model import Sender, SenderKind
from stentor.channels.smtp.sender import SmtpChannel
from stentor.channels.smtp.settings import SmtpSettings
from stentor.domain.type_rules import choices_at, in_words
from stentor.domain.vocabulary import ChannelKind
from stentor.errors import Invalid, Violation, pointer_to

_SECRET_FIELD = "password"  # noqa: S105 - the name of the field, not a password


def checked_settings(
    kind: SenderKind, channel: ChannelKind, settings: Mapping[str, Any], secret: str
) -> dict[str, Any]:
    """The settings with every default spelled out, without the secret. Raises Invalid that names each broken field."""
    match kind:
        case "sandbox":
            if settings or secret:
                raise Invalid.field("/settings", "unknown-field", "A sandbox sender has no settings and no secret.")
            return {}
        case "smtp":
            if channel is not ChannelKind.EMAIL:
                raise Invalid.field("/channel", "channel", "An smtp sender delivers on the channel email.")
            told = msgspec.to_builtins(_smtp_settings(settings, secret))
            del told[_SECRET_FIELD]
            return told
        case _:
            assert_never(kind)


def open_sender(sender: Sender, secret: str, *, sandbox: Channel) -> Channel:
    """The channel that a sender delivers by; all sandboxes of an installation are one."""
    match sender.kind:
        case "sandbox":
            return sandbox
        case "smtp":
            return SmtpChannel(_smtp_settings(sender.settings, secret))
        case _:
            assert_never(sender.kind)


def _smtp_settings(settings: Mapping[str, Any], secret: str) -> SmtpSettings:
    known = set(SmtpSettings.__struct_fields__) - {_SECRET_FIELD}
    if unknown := sorted(settings.keys() - known):
        raise Invalid(
            f"An smtp sender has no setting {unknown[0]}; the password is the sender's `secret`.",
            violations=[
                Violation(pointer_to("settings", name), "unknown-field", "There is no such setting.")
                for name in unknown
            ],
        )
    try:
        return msgspec.convert({**settings, _SECRET_FIELD: secret}, SmtpSettings)
    except msgspec.ValidationError as problem:
        rule, _, place = str(problem).partition(" - at `$.")
        name = place.removesuffix("`")
        subject = f"The setting `{name}` cannot" if name else "The settings cannot"
        pointer = pointer_to("settings", *([name] if name else []))
        choices = choices_at(SmtpSettings, [name] if name else [])
        raise Invalid.field(pointer, "type", f"{subject} be used: {in_words(rule, choices)}.") from None
    except Invalid as problem:
        raise Invalid(
            problem.detail,
            violations=[
                msgspec.structs.replace(violation, pointer=_pointer(violation.pointer))
                for violation in problem.violations
            ],
        ) from None


def _pointer(pointer: str) -> str:
    return "/secret" if pointer == f"/{_SECRET_FIELD}" else f"/settings{pointer}"
