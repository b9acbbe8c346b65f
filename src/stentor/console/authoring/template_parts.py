"""What the form of a template asks for on each channel, and how its fields become parts."""

import re
from collections.abc import Mapping
from typing import Literal

import msgspec

from stentor.domain.vocabulary import ChannelKind

DATA_ROWS_MAX = 40
"""Fields of a push message's data that the form shows; a template's other parts are few."""

Widget = Literal["line", "text", "code"]


class PartField(msgspec.Struct, frozen=True):
    """A part as the form asks for it. `line`: one line of text, `text`: several, `code`: markup in a wide editor."""

    part: str
    label: str
    widget: Widget
    hint: str = ""


class DataRow(msgspec.Struct, frozen=True):
    """A field of a push message's data."""

    name: str = ""
    text: str = ""


_URL = PartField("url", "Where a tap leads", "line", "An address, or a link into the app; empty: it opens the app.")
_NOTIFICATION = (PartField("title", "Title", "line"), PartField("body", "Text", "text"), _URL)
_TEXT = (PartField("text", "Text", "text"),)

FIELDS: Mapping[ChannelKind, tuple[PartField, ...]] = {
    ChannelKind.EMAIL: (
        PartField("subject", "Subject", "line"),
        PartField("preheader", "Preheader", "line", "What inboxes show beside the subject."),
        PartField("source", "Source", "code"),
        PartField("text", "Text part", "text", "Empty: written from the source."),
    ),
    ChannelKind.SMS: _TEXT,
    ChannelKind.WHATSAPP: _TEXT,
    ChannelKind.VOICE: (PartField("script", "What the voice says", "text"),),
    ChannelKind.PUSH: _NOTIFICATION,
    ChannelKind.WEB_PUSH: _NOTIFICATION,
    ChannelKind.IN_APP: _NOTIFICATION,
    ChannelKind.WEBHOOK: (PartField("body", "Body, as JSON", "code"),),
}
"""By channel, the fields of its form; those whose content lies elsewhere have none."""

WITH_DATA = frozenset({ChannelKind.PUSH, ChannelKind.WEB_PUSH, ChannelKind.IN_APP})

MARKUPS: Mapping[str, str] = {"mjml": "MJML", "html": "HTML"}

_ROW = re.compile(r"d-(\d{1,2})-(name|text)", re.ASCII)
_DATA = "data."


def parts_of(channel: ChannelKind, form: Mapping[str, str]) -> dict[str, str]:
    """The parts that a form says; those that are empty are left out."""
    parts: dict[str, str] = {}
    for field in FIELDS[channel]:
        # Browsers send what was typed into several lines with carriage returns.
        text = form.get(f"p-{field.part}", "").replace("\r\n", "\n")
        if field.widget == "line":
            text = " ".join(text.split("\n")).strip()
        if text.strip():
            parts[_markup(form) if field.part == "source" else field.part] = text
    for row in data_rows_of(form):
        if row.name or row.text:
            parts[f"{_DATA}{row.name}"] = row.text
    return parts


def fields_of(channel: ChannelKind, parts: Mapping[str, str]) -> dict[str, str]:
    """The form's fields for parts that are stored."""
    fields = {f"p-{name}": text for name, text in parts.items() if not name.startswith(_DATA)}
    if channel is ChannelKind.EMAIL:
        markup = "html" if "html" in parts else "mjml"
        fields |= {"markup": markup, "p-source": parts.get(markup, "")}
    rows = [(name.removeprefix(_DATA), text) for name, text in parts.items() if name.startswith(_DATA)]
    for index, (name, text) in enumerate(rows):
        fields |= {f"d-{index}-name": name, f"d-{index}-text": text}
    return fields


def data_rows_of(form: Mapping[str, str]) -> list[DataRow]:
    """The rows of a push message's data, in their order, changed as the form's button asks for."""
    found: dict[int, dict[str, str]] = {}
    for name, text in form.items():
        if match := _ROW.fullmatch(name):
            found.setdefault(int(match[1]), {})[match[2]] = text.replace("\r\n", "\n")
    rows = [DataRow(said.get("name", "").strip(), said.get("text", "")) for _, said in sorted(found.items())]
    what, _, place = form.get("do", "").partition(" ")
    if what == "add" and len(rows) < DATA_ROWS_MAX:
        rows.append(DataRow())
    elif what == "remove" and place.isdecimal() and len(place) < 3 and int(place) < len(rows):
        rows.pop(int(place))
    return rows


def field_of_part(part: str, form: Mapping[str, str]) -> str:
    """The field of the form that a part was typed into."""
    if part in MARKUPS:
        return "p-source"
    if part.startswith(_DATA):
        names = [row.name for row in data_rows_of(form)]
        name = part.removeprefix(_DATA)
        return f"d-{names.index(name)}-text" if name in names else ""
    return f"p-{part}"


def _markup(form: Mapping[str, str]) -> str:
    return "html" if form.get("markup") == "html" else "mjml"


_MAIL = """<mjml>
  <mj-head>
    <mj-attributes>
      <mj-all font-family="Arial, Helvetica, sans-serif" />
    </mj-attributes>
  </mj-head>
  <mj-body background-color="#f4f4f2">
    <mj-section background-color="#ffffff">
      <mj-column>
        <mj-text font-size="20px" font-weight="700">
          A headline
        </mj-text>
        <mj-text>
          Hi {{ customer.first_name | default: "there" }}, say it here.
        </mj-text>
        <mj-button href="https://example.org/">Open</mj-button>
        <mj-text font-size="12px" color="#5f5f5a">
          <a href="{{ unsubscribe_url }}">Unsubscribe</a>
          {% if brand.postal_address %}&#183; {{ brand.name }}, {{ brand.postal_address }}{% endif %}
        </mj-text>
      </mj-column>
    </mj-section>
  </mj-body>
</mjml>
"""

STARTS: Mapping[ChannelKind, Mapping[str, str]] = {
    ChannelKind.EMAIL: {"subject": "News from {{ brand.name }}", "mjml": _MAIL},
    ChannelKind.SMS: {"text": "{{ brand.name }}: say it here."},
    ChannelKind.WHATSAPP: {"text": "Hi {{ customer.first_name | default: 'there' }}, say it here."},
    ChannelKind.VOICE: {"script": "Hello. This is {{ brand.name }}. Say it here."},
    ChannelKind.PUSH: {"title": "{{ brand.name }}", "body": "Say it here."},
    ChannelKind.WEB_PUSH: {"title": "{{ brand.name }}", "body": "Say it here."},
    ChannelKind.IN_APP: {"title": "{{ brand.name }}", "body": "Say it here."},
    ChannelKind.WEBHOOK: {"body": '{\n  "customer": "{{ customer.external_id }}",\n  "text": "Say it here."\n}\n'},
}
"""What a new template of a channel begins with: all of it can be published as it is."""
