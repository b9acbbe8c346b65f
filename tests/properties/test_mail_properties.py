"""Whole e-mails for everybody's values: readable, 7-bit, in bounds, and never with a header more."""

from email.message import EmailMessage
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from messages_rendered import body_of, mail, parsed
from stentor.render.headers import one_line
from stentor.render.skeleton import reassemble

TEXTS = st.text(st.characters(codec="utf-8"), max_size=120)
# Each value's line breaks become CRLF; which ones a reader puts together again is not ours to say.
BODIES = st.text(st.characters(codec="utf-8", exclude_characters="\r\x00"), max_size=300)


@pytest.mark.fault("S6")
@settings(max_examples=150, deadline=None)
@given(subject=TEXTS, name=TEXTS)
def test_any_subject_arrives_on_its_one_line(subject: str, name: str):
    message = mail(
        subject="{{ customer.subject }}, {{ context.name }}", customer={"subject": subject}, context={"name": name}
    )

    expected = one_line(f"{subject}, {name}")
    assert message.subject == expected
    assert _headers(message.wire()) == _headers(mail().wire())
    assert message.wire().isascii()


@settings(max_examples=150, deadline=None)
@given(value=BODIES, constant=BODIES)
def test_any_body_arrives_as_it_was_written(value: str, constant: str):
    constant = constant.replace("{", "(")

    message = mail(text=f"{constant}{{{{ customer.value }}}}{constant}x", customer={"value": value})

    assert body_of(message, "plain") == f"{constant}{value}{constant}x"
    assert reassemble(message.skeleton_content(), message.parts()) == message.wire()
    assert max(map(len, message.wire().split(b"\r\n"))) <= 100
    assert _defects(parsed(message)) == []


def _headers(wire: bytes) -> list[str]:
    head = wire.partition(b"\r\n\r\n")[0].decode()
    return [line.partition(":")[0] for line in head.split("\r\n") if not line.startswith(" ")]


def _defects(message: EmailMessage) -> list[Any]:
    return [defect for part in message.walk() for defect in part.defects]
