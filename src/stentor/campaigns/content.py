"""What a template may consist of, checked when it is saved: languages, parts, Liquid."""

from collections.abc import Iterator, Mapping
from typing import Any

from stentor.accounts.model import Brand
from stentor.campaigns.model import TemplateContent
from stentor.domain.locale import normal_locale
from stentor.domain.vocabulary import ChannelKind
from stentor.errors import Invalid, Violation, pointer_to
from stentor.render.analysis import Usage, usages
from stentor.render.encodings import PlainText
from stentor.render.errors import TemplateInvalid
from stentor.render.frame import Layout
from stentor.render.liquid import Part, compile_part
from stentor.render.messages import compile_message
from stentor.render.publishing import final_parts
from stentor.render.publishing_rule import bind_names

VARIANTS_MAX = 50
PARTS_MAX = 50
PART_NAME_CHARS_MAX = 100
# Of all languages together. A mail of more than 100 KB is cut off by the large mailbox providers.
CONTENT_CHARS_MAX = 2_000_000

BRAND_FIELDS = ("name", "postal_address")


def brand_fields(brand: Brand) -> dict[str, Any]:
    """What templates read as `brand.x`: a value for each of BRAND_FIELDS."""
    return {"name": brand.name, "postal_address": brand.settings.postal_address}


def checked_content(channel: ChannelKind, content: TemplateContent) -> TemplateContent:
    """The content with its languages in canonical form (`en_us` becomes `en-US`).

    Raises Invalid whose violations point at `/variants/{language}/{part}` and say in their messages which line is wrong
    and what to do. Takes up to seconds for megabytes of HTML: call it in a thread.
    """
    check_size(content)
    content = _with_normal_languages(content)
    violations = [
        violation
        for language, parts in content.variants.items()
        for violation in _variant_violations(channel, language, parts)
    ]
    if violations:
        raise Invalid(violations[0].message, violations=violations)
    return content


def with_line(message: str, line: int | None) -> str:
    """The sentence with the number of the line that it is about."""
    return message if line is None else f"Line {line}: {message}"


def check_size(content: TemplateContent) -> None:
    """Raises Invalid for too many languages, parts or characters."""
    if not 1 <= len(content.variants) <= VARIANTS_MAX:
        text = f"A template has 1 to {VARIANTS_MAX} languages; write at least the default one."
        raise Invalid.field("/variants", "variants-count", text)
    for language, parts in content.variants.items():
        if len(parts) > PARTS_MAX or any(len(name) > PART_NAME_CHARS_MAX for name in parts):
            text = f"A language has at most {PARTS_MAX} parts with names of at most {PART_NAME_CHARS_MAX} characters."
            raise Invalid.field(pointer_to("variants", language), "parts-count", text)
    size = sum(len(source) for parts in content.variants.values() for source in parts.values())
    if size > CONTENT_CHARS_MAX:
        text = f"The parts have {size} characters together; shorten them to {CONTENT_CHARS_MAX}, or make two templates."
        raise Invalid.field("/variants", "too-large", text)


def _with_normal_languages(content: TemplateContent) -> TemplateContent:
    default = _normal_language(content.default_language, "/default_language")
    variants: dict[str, dict[str, str]] = {}
    for given, parts in content.variants.items():
        language = _normal_language(given, pointer_to("variants", given))
        if language in variants:
            text = f"The language {language} is written twice; keep one."
            raise Invalid.field(pointer_to("variants", given), "repeated-language", text)
        variants[language] = parts
    if default not in variants:
        text = f"The default language {default} has no variant; write it, or name one of {', '.join(sorted(variants))}."
        raise Invalid.field("/default_language", "unknown-language", text)
    return TemplateContent(default, variants)


def _normal_language(given: str, place: str) -> str:
    language = normal_locale(given)
    if language is None:
        raise Invalid.field(
            place, "invalid-language", f"{given[:40]!r} is no language tag; write one like en, en-US or zh-Hant."
        )
    return language


def _variant_violations(channel: ChannelKind, language: str, parts: Mapping[str, str]) -> Iterator[Violation]:
    try:
        found = usages(channel, parts)
        bindings = bind_names(found, context_fields=None)
        # The author's own parts first: a mistake in MJML is told with its line there, not with the one of its HTML's text.
        for name, source in parts.items():
            compile_part(Part(name, source), PlainText(), Layout(), bindings)
        compile_message(channel, final_parts(channel, parts), bindings)
    except TemplateInvalid as refusal:
        yield Violation(
            pointer_to("variants", language, refusal.part), "template-invalid", with_line(refusal.message, refusal.line)
        )
    else:
        yield from (violation for usage in found if (violation := _brand_violation(language, usage)))


def brand_complaint(usage: Usage) -> str | None:
    """What is wrong with a use that asks a brand for what brands do not have; None for every other use."""
    root, *steps = usage.path
    if root != "brand" or (steps and steps[0] in BRAND_FIELDS):
        return None
    known = " and ".join(f"brand.{name}" for name in BRAND_FIELDS)
    return f"A brand has no such field; there are {known}."


def _brand_violation(language: str, usage: Usage) -> Violation | None:
    text = brand_complaint(usage)
    if text is None:
        return None
    return Violation(pointer_to("variants", language, usage.part), "unknown-name", with_line(text, usage.line))
