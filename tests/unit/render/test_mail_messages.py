"""Whole e-mails: what stands in their headers, and what values can and cannot do to them."""

import re
from email.utils import parsedate_to_datetime

import pytest

from messages_rendered import ADDRESS, AT, SEND_ID, URL, body_of, mail, parsed
from stentor.domain.vocabulary import ChannelKind, Reason
from stentor.render.compiled import MailSender
from stentor.render.errors import RenderError, TemplateInvalid
from stentor.render.messages import compile_message
from stentor.render.skeleton import reassemble

INJECTIONS = [
    "a\rBcc: x@y.z",
    "a\nBcc: x@y.z",
    "a\r\nBcc: x@y.z",
    "a\r\n\r\nbody",
    "a\x00b",
    "a\u2028b",
    "a\u2029Bcc: x",
    "a\x85b",
]


def header_names(message: bytes) -> list[str]:
    head = message.partition(b"\r\n\r\n")[0].decode()
    return re.findall(r"(?m)^([A-Za-z-]+):", head)


EXPECTED_HEADERS = [
    *("From", "To", "Subject", "Date", "Message-ID", "List-Unsubscribe", "List-Unsubscribe-Post"),
    *("Content-Type", "MIME-Version"),
]


def test_a_mail_has_its_headers_and_both_parts():
    message = mail(
        subject="Hi {{ customer.name }}", html="<p>{{ customer.name }}</p>", text="t", customer={"name": "Ann"}
    )

    read = parsed(message)
    assert read["From"] == "Brand & Sons <news@brand.example>"
    assert read["To"] == ADDRESS
    assert read["Subject"] == "Hi Ann"
    assert parsedate_to_datetime(read["Date"]) == AT
    assert read["Message-ID"] == f"<{SEND_ID}@brand.example>"
    assert read["List-Unsubscribe"] == f"<{URL}>"
    assert read["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    assert read.get_content_type() == "multipart/alternative"
    assert (body_of(message, "plain"), body_of(message, "html")) == ("t", "<p>Ann</p>")
    assert header_names(message.wire()) == EXPECTED_HEADERS


def test_without_an_address_for_it_there_is_no_list_unsubscribe():
    message = mail(unsubscribe_url="")

    assert "List-Unsubscribe" not in header_names(message.wire())
    assert "List-Unsubscribe-Post" not in header_names(message.wire())


def test_answers_go_where_the_sender_says():
    message = mail(sender=MailSender("news@brand.example", "Straße", reply_to="help@brand.example"))

    read = parsed(message)
    assert read["Reply-To"] == "help@brand.example"
    assert read["From"].addresses[0].display_name == "Straße"
    assert message.wire().isascii()


@pytest.mark.fault("S6")
@pytest.mark.parametrize("value", INJECTIONS)
def test_a_value_never_adds_a_header(value: str):
    message = mail(
        subject="Hi {{ customer.name }} {{ context.title }}",
        customer={"name": value},
        context={"title": value},
        sender=MailSender("news@brand.example", value),
    )

    assert header_names(message.wire()) == EXPECTED_HEADERS
    assert "\x00" not in message.wire().decode()
    assert parsed(message)["Subject"].count("Bcc") == 2 * value.count("Bcc")


@pytest.mark.fault("S6")
@pytest.mark.parametrize("address", ["a@x.example\r\nBcc: b@y.example", "a\x00@x.example", "a\u2028@x.example"])
def test_an_address_that_is_no_line_is_refused(address: str):
    with pytest.raises(RenderError) as failed:
        mail(address=address)

    assert failed.value.reason is Reason.INVALID_ADDRESS


@pytest.mark.parametrize(
    "url",
    ["javascript:alert(1)", "https://x.example/\r\nBcc: a@b.c", "https://x.example/> <y", "", "https://x example/"],
)
def test_an_unsubscribe_address_that_is_none_is_refused(url: str):
    compiled = compile_message(ChannelKind.EMAIL, {"subject": "s", "html": "h", "text": "t"}, {})
    bound = compiled.bind(context={}, brand={}, sender=MailSender("news@brand.example"), one_click=True)

    with pytest.raises(RenderError, match="unsubscribe"):
        bound.render({}, send_id=SEND_ID, address=ADDRESS, at=AT, unsubscribe_url=url)


@pytest.mark.parametrize(
    "subject",
    [
        "plain",
        "Grüße aus Köln",
        "🎉 " * 60,
        "word " * 30,
        "x" * 300,
        "=?utf-8?q?fake?= sender",
        "  blanks   inside  ",
        "ü" * 400,
        "a" * 60 + " " + "b" * 76 + " c",
    ],
)
def test_a_subject_survives_its_encoding(subject: str):
    message = mail(subject="{{ customer.subject }}", customer={"subject": subject})

    assert parsed(message)["Subject"] == subject.strip()
    assert message.subject == subject.strip()
    head = message.wire().partition(b"\r\n\r\n")[0]
    assert head.isascii()
    assert max(map(len, head.split(b"\r\n"))) <= 100


def test_a_subject_of_ten_thousand_characters_fails_for_its_person():
    with pytest.raises(RenderError) as failed:
        mail(subject="{{ customer.subject }}", customer={"subject": "x" * 10_000})

    assert (failed.value.part, failed.value.limit) == ("subject", "subject_chars")


def test_a_subject_of_the_execution_is_read_back_too():
    message = mail(subject="{{ context.title }} ü", context={"title": "Kick-off"})

    assert message.subject == "Kick-off ü"


def test_the_preheader_stands_hidden_after_the_body_tag():
    message = mail(
        html='<html><BODY class="x">\n<p>Hi</p></BODY></html>',
        preheader="for {{ customer.name }}",
        customer={"name": "A&B"},
    )

    html = body_of(message, "html")
    assert re.search(r'<BODY class="x"><div style="display:none[^"]*">for A&amp;B</div>\n<p>Hi', html)


def test_an_internationalised_local_part_needs_smtputf8():
    message = mail(address="jörg@xn--bcher-kva.example")

    assert message.needs_smtputf8
    assert "To: jörg@xn--bcher-kva.example\r\n".encode() in message.wire()
    assert not mail().needs_smtputf8
    assert mail().wire().isascii()


def test_skeleton_and_parts_make_the_message_again():
    message = mail(subject="Hi {{ customer.name }}", html="<p>{{ customer.name }}</p>", customer={"name": "Zoë"})

    assert reassemble(message.skeleton_content(), message.parts()) == message.wire()


def test_one_execution_has_one_skeleton_and_another_one_has_another():
    one = mail(html="{{ context.a }}{{ customer.b }}", context={"a": "1"}, customer={"b": "x"})
    same = mail(html="{{ context.a }}{{ customer.b }}", context={"a": "1"}, customer={"b": "y"})
    other = mail(html="{{ context.a }}{{ customer.b }}", context={"a": "2"}, customer={"b": "x"})

    assert one.skeleton_id == same.skeleton_id != other.skeleton_id
    assert len(one.skeleton_id) == 16


def test_what_the_execution_decides_costs_no_person_anything():
    html = "<h1>{{ context.title | upcase }}</h1>{% for p in context.players %}<p>{{ p }}</p>{% endfor %}"

    message = mail(html=html, text=html, context={"title": "t", "players": ["a", "b"]})

    assert message.texts == [ADDRESS, message.texts[1], SEND_ID, URL]


def test_an_email_without_a_sender_is_a_callers_mistake():
    compiled = compile_message(ChannelKind.EMAIL, {"subject": "s", "html": "h", "text": "t"}, {})

    with pytest.raises(ValueError, match="sender"):
        compiled.bind(context={}, brand={})


def test_a_mail_whose_text_alone_is_too_long_is_refused():
    with pytest.raises(TemplateInvalid) as refused:
        mail(html="é" * 400_000)

    assert refused.value.part == "html"
