"""What is refused when a template is saved, and where the refusal points."""

import pytest

from stentor.campaigns.content import checked_content
from stentor.campaigns.model import TemplateContent
from stentor.domain.vocabulary import ChannelKind
from stentor.errors import Invalid

EMAIL = {"subject": "Kick-off", "html": "<p>Hi</p>"}


def _refusal(channel: ChannelKind, content: TemplateContent) -> list[tuple[str, str]]:
    with pytest.raises(Invalid) as caught:
        checked_content(channel, content)
    return [(violation.pointer, violation.message) for violation in caught.value.violations]


def _refused(channel: ChannelKind, parts: dict[str, str]) -> list[tuple[str, str]]:
    return _refusal(channel, TemplateContent("en", {"en": parts}))


@pytest.mark.parametrize(
    ("channel", "parts"),
    [
        (ChannelKind.EMAIL, EMAIL),
        (ChannelKind.EMAIL, {**EMAIL, "text": "Hi", "preheader": "Soon"}),
        (
            ChannelKind.EMAIL,
            {
                "subject": "Kick-off",
                "mjml": "<mjml><mj-body><mj-section><mj-column><mj-text>Hi {{ customer.first_name }}</mj-text>"
                "</mj-column></mj-section></mj-body></mjml>",
            },
        ),
        (ChannelKind.SMS, {"text": "Hi"}),
        (
            ChannelKind.PUSH,
            {"title": "Goal", "body": "2:1", "url": "https://shop.example/{{ x }}", "data.match": "{{ x }}"},
        ),
        (ChannelKind.WEB_PUSH, {"title": "Goal", "body": "2:1"}),
        (ChannelKind.VOICE, {"script": "Hello"}),
        (ChannelKind.WHATSAPP, {"text": "Hi"}),
        (ChannelKind.WEBHOOK, {"body": '{"match": "{{ context.match }}", "odds": {{ context.odds }}}'}),
        (ChannelKind.IN_APP, {"title": "Goal", "body": "2:1"}),
    ],
)
def test_each_channel_has_its_parts(channel: ChannelKind, parts: dict[str, str]):
    content = TemplateContent("en", {"en": parts})

    assert checked_content(channel, content) == content


@pytest.mark.parametrize(
    ("channel", "parts", "pointer"),
    [
        (ChannelKind.EMAIL, {"html": "<p>Hi</p>"}, "/variants/en/subject"),
        (ChannelKind.EMAIL, {"subject": "Hi"}, "/variants/en/html"),
        (ChannelKind.EMAIL, {**EMAIL, "mjml": "<mjml></mjml>"}, "/variants/en/mjml"),
        (ChannelKind.EMAIL, {"subject": "Hi", "mjml": "<mjml><mj-body>"}, "/variants/en/mjml"),
        (ChannelKind.EMAIL, {**EMAIL, "footer": "Bye"}, "/variants/en/footer"),
        (ChannelKind.SMS, {"text": "  "}, "/variants/en/text"),
        (ChannelKind.SMS, {"body": "Hi"}, "/variants/en/text"),
        (ChannelKind.WEBHOOK, {"body": '{"open": "{{ context.x }}'}, "/variants/en/body"),
    ],
)
def test_a_missing_surplus_or_broken_part_is_named(channel: ChannelKind, parts: dict[str, str], pointer: str):
    assert [place for place, _ in _refused(channel, parts)] == [pointer]


@pytest.mark.parametrize(
    "text",
    [
        "one\ntwo {{ x",
        "one\n{% endif %}",
        "one\n{{ x | no_such_filter }}",
        "one\n{% no_such_tag %}",
        "one\n{% include 'other' %}",
        "one\n{{ }}",
    ],
)
def test_what_is_no_liquid_is_refused_with_its_line(text: str):
    [(pointer, message)] = _refused(ChannelKind.SMS, {"text": text})

    assert pointer == "/variants/en/text"
    assert message.startswith("Line 2: ")


def test_a_block_that_is_never_closed_is_refused():
    [(pointer, message)] = _refused(ChannelKind.SMS, {"text": "one\n{% if x %}two"})

    assert pointer == "/variants/en/text"
    assert "endif" in message


def test_a_mistake_in_html_is_told_there_and_not_in_the_text_made_of_it():
    [(pointer, message)] = _refused(ChannelKind.EMAIL, {"subject": "Hi", "html": "<p>\n{{ x | nope }}</p>"})

    assert pointer == "/variants/en/html"
    assert message.startswith("Line 2: ")


def test_a_mistake_in_mjml_is_told_with_its_line_there():
    mjml = "<mjml>\n<mj-body>\n<mj-text>{{ x | nope }}</mj-text>\n</mj-body>\n</mjml>"

    [(pointer, message)] = _refused(ChannelKind.EMAIL, {"subject": "Hi", "mjml": mjml})

    assert pointer == "/variants/en/mjml"
    assert message.startswith("Line 3: ")


def test_every_language_is_looked_at():
    content = TemplateContent("en", {"en": {"text": "{{"}, "de": {"text": "Gut"}, "fr": {"text": "{% if %}"}})

    assert [place for place, _ in _refusal(ChannelKind.SMS, content)] == ["/variants/en/text", "/variants/fr/text"]


def test_a_field_that_no_brand_has_is_refused():
    [(pointer, message)] = _refused(ChannelKind.SMS, {"text": "{{ brand.name }}\n{{ brand.phone }}"})

    assert pointer == "/variants/en/text"
    assert message == "Line 2: A brand has no such field; there are brand.name and brand.postal_address."


@pytest.mark.parametrize(
    ("content", "pointer"),
    [
        (TemplateContent("en", {}), "/variants"),
        (TemplateContent("de", {"en": {"text": "Hi"}}), "/default_language"),
        (TemplateContent("english!", {"en": {"text": "Hi"}}), "/default_language"),
        (TemplateContent("en", {"en": {"text": "Hi"}, "1": {"text": "Hi"}}), "/variants/1"),
        (TemplateContent("en", {"en": {"text": "Hi"}, "EN": {"text": "Hi"}}), "/variants/EN"),
        (TemplateContent("en", {"en": {f"data.{n}": "x" for n in range(60)}}), "/variants/en"),
        (TemplateContent("en", {"en": {"x" * 101: "x"}}), "/variants/en"),
        (TemplateContent("en", {"en": {"text": "x" * 2_000_001}}), "/variants"),
    ],
)
def test_languages_and_sizes_are_bounded(content: TemplateContent, pointer: str):
    assert [place for place, _ in _refusal(ChannelKind.SMS, content)] == [pointer]


def test_fifty_languages_are_enough():
    variants = {f"{a}{b}": {"text": "Hi"} for a in "abcdefgh" for b in "abcdefgh"}

    assert [place for place, _ in _refusal(ChannelKind.SMS, TemplateContent("aa", variants))] == ["/variants"]


def test_an_external_channel_has_no_templates_here():
    assert "no templates here" in _refused(ChannelKind.EXTERNAL, {"text": "Hi"})[0][1]


@pytest.mark.fault("S13")
def test_a_nul_is_refused_because_it_cannot_be_stored():
    [(pointer, _)] = _refused(ChannelKind.SMS, {"text": "Hi\x00"})

    assert pointer == "/variants/en/text"
