"""Messages that are no mail: text, notifications, voice, webhooks."""

from typing import Any

import msgspec
import pytest

from messages_rendered import AT, SEND_ID, SENDER, URL, render, text_of
from stentor.domain.vocabulary import ChannelKind, Reason
from stentor.render.errors import RenderError, TemplateInvalid
from stentor.render.messages import PARTS, compile_message

HOSTILE = 'A "quoted" \\ back\nslash \t </script> é \u2028 \x01'


def json_of(kind: ChannelKind, parts: dict[str, str], **values: Any) -> Any:
    return msgspec.json.decode(render(kind, parts, **values).wire())


def test_a_text_is_its_template_without_control_characters():
    text = text_of("Hi {{ customer.name }}\r\n\x07bye", customer={"name": "A\x00n\u2028n"})

    assert text == "Hi An\nn\nbye"


def test_a_text_of_more_than_two_kilobytes_fails_for_its_person():
    with pytest.raises(RenderError) as failed:
        text_of("{{ customer.a }}", customer={"a": "é" * 1025})

    assert (failed.value.part, failed.value.limit) == ("text", "output_chars")
    assert text_of("{{ customer.a }}", customer={"a": "é" * 1024}) == "é" * 1024


@pytest.mark.parametrize("kind", [ChannelKind.SMS, ChannelKind.WHATSAPP, ChannelKind.VOICE])
def test_a_message_that_says_nothing_is_not_sent(kind: ChannelKind):
    (part,) = PARTS[kind].required

    with pytest.raises(RenderError) as failed:
        render(kind, {part: " {{ customer.nothing }}\n"})

    assert failed.value.reason is Reason.EMPTY_CONTENT


def test_a_notification_names_the_app_that_it_goes_out_by():
    compiled = compile_message(ChannelKind.PUSH, {"title": "Hi", "body": "Now"}, {}, app='Fan "App"')

    bound = compiled.bind(context={}, brand={}, sender=SENDER, one_click=True)
    message = bound.render({}, send_id=SEND_ID, address="", at=AT, unsubscribe_url=URL)

    assert msgspec.json.decode(message.wire()) == {"title": "Hi", "body": "Now", "app": 'Fan "App"', "data": {}}


@pytest.mark.parametrize("kind", [ChannelKind.PUSH, ChannelKind.WEB_PUSH, ChannelKind.IN_APP])
def test_a_notification_is_json_whatever_its_values(kind: ChannelKind):
    parts = {
        "title": "Hi {{ customer.name }}",
        "body": 'He said "{{ context.said }}"',
        "url": "https://x.example/{{ customer.id }}",
        "data.match": "{{ context.match }}",
        'data.odd "key"': "1",
    }

    message = render(kind, parts, customer={"name": HOSTILE, "id": 7}, context={"said": HOSTILE, "match": "m1"})

    assert msgspec.json.decode(message.wire()) == {
        "title": f"Hi {HOSTILE}",
        "body": f'He said "{HOSTILE}"',
        "url": "https://x.example/7",
        "data": {"match": "m1", 'odd "key"': "1"},
    }
    assert message.subject == f"Hi {HOSTILE}"


def test_a_notification_needs_a_title_or_a_body():
    parts = {"title": "{{ customer.title }}", "body": "{{ customer.body }}"}

    with pytest.raises(RenderError) as failed:
        json_of(ChannelKind.PUSH, parts)

    assert failed.value.reason is Reason.EMPTY_CONTENT
    assert json_of(ChannelKind.PUSH, parts, customer={"body": "b"})["body"] == "b"


def test_a_notification_is_at_most_what_the_services_carry():
    with pytest.raises(RenderError, match="4096"):
        json_of(ChannelKind.PUSH, {"title": "t", "body": "{{ customer.body }}"}, customer={"body": "b" * 4096})


def test_values_in_a_webhooks_strings_are_escaped_and_elsewhere_they_are_json():
    body = """{
      "name": "{{ customer.name }}", "points": {{ customer.points }}, "tags": {{ context.tags }},
      "none": {{ customer.nothing }}, "bare": {{ customer.name }},
      "list": [{% for tag in context.tags %}"{{ tag }}"{% unless forloop.last %}, {% endunless %}{% endfor %}]
    }"""
    context = {"tags": ["a", HOSTILE]}

    document = json_of(ChannelKind.WEBHOOK, {"body": body}, customer={"name": HOSTILE, "points": 1.5}, context=context)

    assert document == {
        "name": HOSTILE,
        "points": 1.5,
        "tags": ["a", HOSTILE],
        "none": None,
        "bare": HOSTILE,
        "list": ["a", HOSTILE],
    }


@pytest.mark.parametrize(
    ("body", "complaint"),
    [
        ('{"a": {% if customer.a %}"{% endif %}x"}', "same side"),
        ('{"a": "{% for i in (1..2) %}"{% endfor %}"}', "same side"),
        ('{"a": "\\{{ customer.a }}"}', "backslash"),
        ('{"a": "{{ customer.a }}}', "never closed"),
        ('{"a": "{% increment n %}"}', "cannot be used"),
    ],
)
def test_a_webhook_whose_strings_cannot_be_told_is_refused(body: str, complaint: str):
    with pytest.raises(TemplateInvalid, match=complaint):
        compile_message(ChannelKind.WEBHOOK, {"body": body}, {})


def test_a_webhook_that_comes_out_as_no_json_fails_for_its_person():
    body = '{"a": [{% for x in customer.list %}{{ x }},{% endfor %}]}'

    with pytest.raises(RenderError, match="no JSON"):
        json_of(ChannelKind.WEBHOOK, {"body": body}, customer={"list": [1]})


@pytest.mark.parametrize(
    ("kind", "parts", "complaint"),
    [
        (ChannelKind.EMAIL, {"html": "x", "text": "x"}, "needs its subject"),
        (ChannelKind.SMS, {"text": " "}, "needs its text"),
        (ChannelKind.SMS, {"text": "x", "title": "y"}, "has no title"),
        (ChannelKind.SMS, {"text": "x", "data.a": "y"}, "has no data.a"),
        (ChannelKind.EXTERNAL, {}, "no templates"),
    ],
)
def test_a_template_has_the_parts_of_its_channel(kind: ChannelKind, parts: dict[str, str], complaint: str):
    with pytest.raises(TemplateInvalid, match=complaint):
        compile_message(kind, parts, {})
