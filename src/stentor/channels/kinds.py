"""The kinds of sender there are: what each must be told, and the channel it opens. A new kind is added here."""

from collections.abc import Mapping
from typing import Any, TypeVar, assert_never

import msgspec

from stentor.channels.contract import Channel
from stentor.channels.listener import Listener
from stentor.channels.model import Sender, SenderKind
from stentor.channels.outbound import Outbound
from stentor.channels.smtp.sender import SmtpChannel
from stentor.channels.smtp.settings import SmtpSettings
from stentor.channels.webhook.sender import WebhookChannel
from stentor.channels.webhook.settings import WebhookSettings
from stentor.domain.type_rules import choices_at, in_words
from stentor.domain.vocabulary import ChannelKind
from stentor.errors import Invalid, Violation, pointer_to

_Settings = TypeVar("_Settings", SmtpSettings, WebhookSettings)

# The field that holds the sender's secret, which is kept apart from its settings.
_SECRET_FIELDS: dict[type[Any], str] = {SmtpSettings: "password", WebhookSettings: "secrets"}


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
            return _told(_settings_of(SmtpSettings, settings, secret))
        case "webhook":
            if channel is not ChannelKind.WEBHOOK:
                raise Invalid.field("/channel", "channel", "A webhook sender delivers on the channel webhook.")
            return _told(_settings_of(WebhookSettings, settings, secret))
        case "listener":
            if settings or secret:
                text = "A listener has no settings and no secret: its partner channel's clients have theirs."
                raise Invalid.field("/settings", "unknown-field", text)
            return {}
        case _:
            assert_never(kind)


def open_sender(sender: Sender, secret: str, *, sandbox: Channel, outbound: Outbound) -> Channel:
    """The channel that a sender delivers by; all sandboxes of an installation are one."""
    match sender.kind:
        case "sandbox":
            return sandbox
        case "smtp":
            return SmtpChannel(_settings_of(SmtpSettings, sender.settings, secret))
        case "webhook":
            return WebhookChannel(_settings_of(WebhookSettings, sender.settings, secret), outbound)
        case "listener":
            return Listener()
        case _:
            assert_never(sender.kind)


def _told(settings: SmtpSettings | WebhookSettings) -> dict[str, Any]:
    told = msgspec.to_builtins(settings)
    del told[_SECRET_FIELDS[type(settings)]]
    return told


def _settings_of(kind: type[_Settings], settings: Mapping[str, Any], secret: str) -> _Settings:
    secret_field = _SECRET_FIELDS[kind]
    known = set(kind.__struct_fields__) - {secret_field}
    if unknown := sorted(settings.keys() - known):
        raise Invalid(
            f"A sender of this kind has no setting {unknown[0]}; the {secret_field} is the sender's `secret`.",
            violations=[
                Violation(pointer_to("settings", name), "unknown-field", "There is no such setting.")
                for name in unknown
            ],
        )
    try:
        return msgspec.convert({**settings, secret_field: secret}, kind)
    except msgspec.ValidationError as problem:
        rule, _, place = str(problem).partition(" - at `$.")
        name = place.removesuffix("`")
        subject = f"The setting `{name}` cannot" if name else "The settings cannot"
        pointer = pointer_to("settings", *([name] if name else []))
        choices = choices_at(kind, [name] if name else [])
        raise Invalid.field(pointer, "type", f"{subject} be used: {in_words(rule, choices)}.") from None
    except Invalid as problem:
        raise Invalid(
            problem.detail,
            violations=[
                msgspec.structs.replace(violation, pointer=_pointer(violation.pointer, secret_field))
                for violation in problem.violations
            ],
        ) from None


def _pointer(pointer: str, secret_field: str) -> str:
    return "/secret" if pointer == f"/{secret_field}" else f"/settings{pointer}"
