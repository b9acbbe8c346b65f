"""Previews: what a message would say, what was blank, and that no template can hold them up."""

import os
import signal
from typing import Any

import msgspec
import pytest

from messages_rendered import AT, URL
from stentor.domain.vocabulary import ChannelKind
from stentor.render.deadline import PreviewProcess, PreviewStopped
from stentor.render.errors import TemplateInvalid
from stentor.render.preview import Preview, PreviewRequest, preview
from stentor.render.preview_child import Refused, answer_to, decode_answer, encode_request

EMAIL = PreviewRequest(
    kind=ChannelKind.EMAIL,
    parts={
        "subject": "Hi {{ customer.name }}{{ title }}",
        "html": "<body><p>{{ context.team }}{{ customer.plan }}{{ customer.plan }}</p></body>",
        "text": "{{ customer.name | default: 'there' }}{% if customer.no %}x{% endif %}",
        "preheader": "{{ context.team }}!",
    },
    bindings={"title": "context.title"},
    context={"team": "A&B", "title": None},
    brand={},
    customer={"name": "Ann", "plan": ""},
    at=AT,
    unsubscribe_url=URL,
)
# Each filter reads less than what is counted, and there are very many of them.
ENDLESS = "{% for i in (1..9000) %}{{ customer.text" + " | strip_html" * 40 + " }}{% endfor %}"


def changed(**changes: Any) -> PreviewRequest:
    return msgspec.structs.replace(EMAIL, **changes)


def test_a_preview_shows_every_part_and_names_what_was_blank():
    assert preview(EMAIL) == Preview(
        parts={
            "subject": "Hi Ann",
            "html": '<body><div style="display:none;max-height:0;overflow:hidden;mso-hide:all">A&amp;B!</div>'
            "<p>A&amp;B</p></body>",
            "text": "Ann",
            "preheader": "A&amp;B!",
        },
        blanks={"subject": ["title"], "html": ["customer.plan"]},
    )


def test_what_could_not_be_sent_is_named_beside_what_can_be_shown():
    shown = preview(changed(parts={**EMAIL.parts, "text": "before {{ 1 | divided_by: 0 }} after"}))

    assert shown.problem.startswith("text: ")
    assert shown.parts["text"] == "before "
    assert shown.parts["subject"] == "Hi Ann"


def test_a_template_that_cannot_be_published_cannot_be_previewed():
    with pytest.raises(TemplateInvalid):
        preview(changed(parts={**EMAIL.parts, "text": "{% if %}"}))


def test_a_text_is_previewed_as_it_would_be_sent():
    request = changed(kind=ChannelKind.SMS, parts={"text": "Hi {{ customer.name }} {{ customer.nobody }}"})

    assert preview(request) == Preview({"text": "Hi Ann "}, {"text": ["customer.nobody"]})


def test_a_webhook_is_previewed_with_its_values_escaped():
    request = changed(kind=ChannelKind.WEBHOOK, parts={"body": '{"a": "{{ customer.name }}"}'}, customer={"name": '"'})

    assert preview(request).parts == {"body": '{"a": "\\""}'}


def test_the_child_answers_what_the_preview_answers():
    assert decode_answer(answer_to(encode_request(EMAIL))) == preview(EMAIL)
    assert decode_answer(answer_to(encode_request(changed(parts={**EMAIL.parts, "text": "\n{% if %}"})))) == Refused(
        "text", "Missing expression.", 2
    )


def test_a_preview_that_takes_too_long_is_stopped_and_the_next_one_is_not():
    previews = PreviewProcess()
    try:
        assert previews.preview(EMAIL) == preview(EMAIL)

        with pytest.raises(PreviewStopped, match="250 ms"):
            previews.preview(changed(parts={**EMAIL.parts, "text": ENDLESS}, customer={"text": "<b>" * 300}))

        assert previews.preview(EMAIL) == preview(EMAIL)
        with pytest.raises(TemplateInvalid, match="no filter nothing"):
            previews.preview(changed(parts={**EMAIL.parts, "text": "{{ context.a | nothing }}"}))
    finally:
        previews.close()


def test_a_child_that_was_killed_is_replaced():
    previews = PreviewProcess(deadline_s=10)
    try:
        previews.preview(EMAIL)
        assert previews._child is not None
        os.kill(previews._child._process.pid, signal.SIGKILL)
        previews._child._process.wait()

        assert previews.preview(EMAIL) == preview(EMAIL)
    finally:
        previews.close()
