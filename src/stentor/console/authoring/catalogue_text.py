"""A catalogue as a Markdown document, to be kept beside the code that calls."""

import re

import msgspec

from stentor.campaigns.catalogue import Catalogue, CatalogueGenerator

_MARKS = re.compile(r"([\\`*_{}\[\]<>#|~!&])")


def anchor_of(generator_id: str) -> str:
    """What the place of a generator on its page is called; no two are called the same."""
    plain = re.sub(r"[^A-Za-z0-9-]", lambda found: f"_{ord(found[0]):x}_", generator_id)
    return f"generator-{plain}"


def markdown_of(catalogue: Catalogue, base_url: str) -> str:
    """The document: each generator with its fields, a sample and its schema, then the topics."""
    parts = [f"# {_text(catalogue.brand)}: what can be called", _how(base_url)]
    parts += ["## Event generators", *(_generator(each) for each in catalogue.generators)]
    if not catalogue.generators:
        parts.append("There is none yet.")
    rows = [
        f"| {_text(topic.key)} | {_text(topic.name)} | {', '.join(topic.channels)} | {'' if topic.is_enabled else 'disabled: '}"
        f"{_text(topic.description)} |"
        for topic in catalogue.topics
    ]
    parts += ["## Topics", "\n".join(["| topic_key | name | channels | about |", "|---|---|---|---|", *rows])]
    if catalogue.is_cut:
        parts.append("There are more than are listed here.")
    return "\n\n".join(parts) + "\n"


def _how(base_url: str) -> str:
    return (
        f"Call `POST {base_url}/smart-campaigns/v1/event-generators/<id>/run` with the headers `x-api-key` and `x-brand-key` and the body "
        '`{"topic_key": …, "context": …}`. With `?dry_run=true` nothing is sent.'
    )


def _generator(one: CatalogueGenerator) -> str:
    state = "published" if one.published_at else "not published yet: calls are refused"
    parts = [f"### {_text(one.name)}", f"Id {_code(one.id)}, {state}, runs {_text(one.campaign or 'a campaign')}."]
    if one.fields:
        rows = [
            f"| {_text(field.name)} | {_text(field.type)} | {'yes' if field.is_required else ''} | {_text(field.description)} |"
            for field in one.fields
        ]
        parts.append("\n".join(["| field | type | required | about |", "|---|---|---|---|", *rows]))
    elif one.schema is None:
        parts.append("Its calls may bring anything.")
    parts += ["A sample of its `context`:", _block(one.sample)]
    if one.schema is not None:
        parts += ["Its JSON Schema:", _block(one.schema)]
    return "\n\n".join(parts)


def _text(text: str) -> str:
    """A text in one line, without anything that means something in Markdown or HTML."""
    return _MARKS.sub(r"\\\1", " ".join(text.split()))


def _code(text: str) -> str:
    """A text as code, fenced by more ticks in a row than it has."""
    ticks = "`" * (max((len(found) for found in re.findall("`+", text)), default=0) + 1)
    return f"{ticks} {text} {ticks}"


def _block(value: object) -> str:
    text = msgspec.json.format(msgspec.json.encode(value), indent=2).decode()
    fence = "`" * max(3, max((len(found) for found in re.findall("`+", text)), default=0) + 1)
    return f"{fence}json\n{text}\n{fence}"
