"""Messages of every channel: which parts a template of it has, and how they become one message."""

from collections.abc import Mapping
from typing import Any

import msgspec

from stentor.domain.vocabulary import ChannelKind, Reason
from stentor.render.compiled import CompiledMessage, Inspect, MessageKind, PartPieces, Plan
from stentor.render.email import EmailSource, compile_email
from stentor.render.encodings import CleanText, Encoding, JsonString, JsonText
from stentor.render.errors import RenderError, TemplateInvalid
from stentor.render.frame import Layout
from stentor.render.limits import PUSH_BYTES_MAX, SMS_BYTES_MAX, TEXT_BYTES_MAX, WEBHOOK_BYTES_MAX, Limits
from stentor.render.liquid import Part, compile_part
from stentor.render.pieces import block_of

DATA_PREFIX = "data."
"""Parts of a push template with this prefix become the fields of its `data`."""


class PartNames(msgspec.Struct, frozen=True):
    """The parts of a channel's templates; with `data` also any number of `data.…`."""

    required: tuple[str, ...]
    optional: tuple[str, ...] = ()
    data: bool = False


_NOTIFICATION = PartNames(("title", "body"), ("url",), data=True)

PARTS: dict[ChannelKind, PartNames] = {
    ChannelKind.EMAIL: PartNames(("subject", "html", "text"), ("preheader",)),
    ChannelKind.SMS: PartNames(("text",)),
    ChannelKind.WHATSAPP: PartNames(("text",)),
    ChannelKind.VOICE: PartNames(("script",)),
    ChannelKind.PUSH: _NOTIFICATION,
    ChannelKind.WEB_PUSH: _NOTIFICATION,
    ChannelKind.IN_APP: _NOTIFICATION,
    ChannelKind.WEBHOOK: PartNames(("body",)),
}
"""What a published template of each channel consists of; `external` has no templates of ours."""


def check_parts(kind: ChannelKind, parts: Mapping[str, str]) -> None:
    """Raises TemplateInvalid for a part that is missing, or that this channel does not have."""
    names = PARTS.get(kind)
    if names is None:
        raise TemplateInvalid("channel", f"{kind.label} messages have no templates here; they are written elsewhere.")
    for name in names.required:
        if not parts.get(name, "").strip():
            raise TemplateInvalid(name, f"A template for {kind.label} needs its {name}; write it.")
    for name in parts:
        if name not in (*names.required, *names.optional) and not (names.data and name.startswith(DATA_PREFIX)):
            raise TemplateInvalid(name, f"A template for {kind.label} has no {name}; remove it.")


def compile_message(
    kind: ChannelKind, parts: Mapping[str, str], bindings: Mapping[str, str], *, app: str | None = None
) -> CompiledMessage:
    """A published template in one language, ready to be bound to executions.

    `parts` are final, as `stentor.render.publishing.final_parts` makes them; `bindings` says what each bare name means
    (`{"title": "context.title", "plan": "customer.attributes.plan"}`); `app` is the app that a push message names. Raises
    TemplateInvalid, naming part and line.
    """
    if kind is ChannelKind.EXTERNAL and "text" in parts:
        return _told(parts, bindings)
    check_parts(kind, parts)
    match kind:
        case ChannelKind.EMAIL:
            return compile_email(EmailSource(**parts), bindings)
        case ChannelKind.WEBHOOK:
            plan = _single("body", parts, JsonText(), bindings, WEBHOOK_BYTES_MAX)
            return CompiledMessage(plan, MessageKind(_is_json))
        case ChannelKind.PUSH | ChannelKind.WEB_PUSH | ChannelKind.IN_APP:
            return CompiledMessage(
                _notification(parts, bindings, app), MessageKind(_is_notification, "title", _from_json)
            )
        case _:
            (name,) = PARTS[kind].required
            bytes_max = SMS_BYTES_MAX if kind is ChannelKind.SMS else TEXT_BYTES_MAX
            plan = _single(name, parts, CleanText(), bindings, bytes_max)
            return CompiledMessage(plan, MessageKind(_is_text(name, bytes_max)))


def _told(parts: Mapping[str, str], bindings: Mapping[str, str]) -> CompiledMessage:
    """What is written elsewhere, as it is told here: one text, for the sandbox and for whoever looks."""
    plan = _single("text", parts, CleanText(), bindings, TEXT_BYTES_MAX)
    return CompiledMessage(plan, MessageKind(_is_text("text", TEXT_BYTES_MAX)))


def _single(
    name: str, parts: Mapping[str, str], encoding: Encoding, bindings: Mapping[str, str], chars_max: int
) -> Plan:
    def plan(layout: Layout) -> PartPieces:
        part, limits = Part(name, parts[name]), Limits(output_chars=chars_max)
        return [(name, compile_part(part, encoding, layout, bindings, limits=limits))]

    return plan


def _notification(parts: Mapping[str, str], bindings: Mapping[str, str], app: str | None) -> Plan:
    limits = Limits(output_chars=PUSH_BYTES_MAX)

    def plan(layout: Layout) -> PartPieces:
        def field(key: str, name: str) -> PartPieces:
            pieces = compile_part(Part(name, parts[name]), JsonString(), layout, bindings, limits=limits)
            text = block_of(pieces, layout)
            return [(name, [f'{msgspec.json.encode(key).decode()}:"', text, '"'])]

        fields = [field(name, name) for name in ("title", "body", "url") if parts.get(name)]
        data = [field(name.removeprefix(DATA_PREFIX), name) for name in parts if name.startswith(DATA_PREFIX)]
        if app is not None:
            fields.append([("", [f'"app":{msgspec.json.encode(app).decode()}'])])
        return [("", ["{"]), *_listed(fields), ("", [',"data":{']), *_listed(data), ("", ["}}"])]

    return plan


def _listed(fields: list[PartPieces]) -> PartPieces:
    listed: PartPieces = []
    for field in fields:
        if listed:
            listed.append(("", [","]))
        listed += field
    return listed


def _from_json(inside: str) -> str:
    return msgspec.json.decode(f'"{inside}"', type=str)


# --- what a whole message must be ----------------------------------------------------------------------------------------


def _is_text(part: str, bytes_max: int) -> Inspect:
    def inspect(message: bytes) -> None:
        if len(message) > bytes_max:
            raise RenderError(
                f"it has {len(message)} bytes; at most {bytes_max} are sent", part=part, limit="output_chars"
            )
        if not message.strip():
            raise RenderError("it is empty", part=part, reason=Reason.EMPTY_CONTENT)

    return inspect


def _is_json(message: bytes) -> None:
    if len(message) > WEBHOOK_BYTES_MAX:
        raise RenderError(f"it has more than {WEBHOOK_BYTES_MAX} bytes", part="body", limit="output_chars")
    try:
        msgspec.json.decode(message)
    except (ValueError, RecursionError) as error:
        raise RenderError(f"it is no JSON: {error}", part="body") from error


def _is_notification(message: bytes) -> None:
    if len(message) > PUSH_BYTES_MAX:
        raise RenderError(f"it has {len(message)} bytes; at most {PUSH_BYTES_MAX} are sent", limit="output_chars")
    fields: dict[str, Any] = msgspec.json.decode(message)
    if not fields["title"].strip() and not fields["body"].strip():
        raise RenderError("title and body are empty", part="body", reason=Reason.EMPTY_CONTENT)
