import pytest

from sandbox_letters import letter
from stentor.channels.sandbox.content import Header, content_of
from stentor.domain.ids import new_id
from stentor.domain.vocabulary import ChannelKind


def test_a_mail_is_taken_apart_into_text_html_and_headers():
    content = content_of(ChannelKind.EMAIL, letter(new_id(), subject="Kick-off", body="Hi Ann").wire())

    assert (content.text, content.html) == ("Hi Ann", "<p>Hi Ann</p>")
    assert Header("Subject", "Kick-off") in content.headers


def test_encoded_headers_and_folded_ones_are_shown_as_people_read_them():
    raw = (
        b"Subject: =?utf-8?q?Anpfiff_f=C3=BCr?=\r\n =?utf-8?q?_M=C3=BCnchen?=\r\nList-Unsubscribe: <https://example.net/u/x>,\r\n"
        b' <mailto:u@example.net>\r\nContent-Type: text/html; charset="utf-8"\r\n'
        b"Content-Transfer-Encoding: quoted-printable\r\n\r\n<p>T=C3=BCr</p>"
    )

    content = content_of(ChannelKind.EMAIL, raw)

    assert content.html == "<p>Tür</p>"
    assert content.text == ""
    assert Header("Subject", "Anpfiff für München") in content.headers
    assert Header("List-Unsubscribe", "<https://example.net/u/x>, <mailto:u@example.net>") in content.headers


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\x00\xff\xfe",
        b"Content-Type: text/html; charset=no-such\r\n\r\nx",
        b"Content-Type: multipart/mixed\r\n\r\nno boundary",
        b"Content-Transfer-Encoding: base64\r\nContent-Type: text/plain\r\n\r\n!!!",
        b"From: \xff\xff <@>\r\nDate: x\r\nTo: ((((\r\n\r\n",
        b"Content-Type: message/rfc822\r\n\r\n\r\n",
    ],
)
def test_a_broken_mail_is_shown_as_far_as_it_can_be_read(raw: bytes):
    content_of(ChannelKind.EMAIL, raw)


def test_a_text_is_its_own_content():
    assert content_of(ChannelKind.SMS, "Anstoß 18:00".encode()).text == "Anstoß 18:00"


def test_a_text_that_looks_like_json_is_a_text():
    content = content_of(ChannelKind.SMS, b'{"body": "x"}')

    assert (content.text, content.payload) == ('{"body": "x"}', None)


def test_json_is_told_as_payload_with_its_body_as_text():
    content = content_of(ChannelKind.PUSH, b'{"title": "Kick-off", "body": "In 15 minutes"}')

    assert content.payload == {"title": "Kick-off", "body": "In 15 minutes"}
    assert content.text == "In 15 minutes"


@pytest.mark.parametrize("raw", [b"[1, 2]", b'"x"', b"[" * 100_000, b"\xff", b"1e400"])
def test_what_is_no_json_object_is_shown_as_text(raw: bytes):
    content = content_of(ChannelKind.WEBHOOK, raw)

    assert content.payload is None
    assert content.text == raw.decode("utf-8", "replace")
