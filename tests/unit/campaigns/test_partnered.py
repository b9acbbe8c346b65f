"""What an outside service is to send, told in words as a message of each channel."""

from datetime import UTC, datetime

import pytest

from stentor.campaigns.model import PartnerContent
from stentor.campaigns.partnered import told_in_words
from stentor.domain.vocabulary import ChannelKind
from stentor.render.compiled import MailSender
from stentor.render.messages import compile_message

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
CALLED = '{{ customer.email }} {% if %} <b> & "so" {% raw %} on'


@pytest.mark.parametrize("kind", ChannelKind)
def test_a_message_of_every_channel_names_template_and_channel_and_runs_no_liquid_of_theirs(kind: ChannelKind):
    words = told_in_words(kind, PartnerContent(505, 7, CALLED, "{{ app }}"))

    compiled = compile_message(kind, words.parts, {}, app="app1")
    message = compiled.bind(context={}, brand={}, sender=MailSender("a@example.org"), one_click=True).render(
        {"email": "one@example.org"},
        send_id="id",
        address="one@example.org",
        at=NOON,
        unsubscribe_url="https://u.example",
    )

    said = message.wire().decode()
    assert "one@example.org" not in said.replace("To: one@example.org", "")
    if kind is ChannelKind.WEBHOOK:
        assert said == '{"ChannelID":505,"TemplateID":7}'
    else:
        assert "TemplateID 7 of channel 505" in said


def test_the_name_is_printed_as_the_service_wrote_it():
    words = told_in_words(ChannelKind.SMS, PartnerContent(505, 7, CALLED, "{{ app }}"))

    bound = compile_message(ChannelKind.SMS, words.parts, {}).bind(context={}, brand={}, sender=None, one_click=False)

    text = bound.render({}, send_id="id", address="+491511", at=NOON).wire().decode()
    assert text == f"TemplateID 7 of channel 505: {CALLED} (app {{{{ app }}}})"
