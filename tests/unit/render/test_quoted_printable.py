"""Bodies put together from pieces that were encoded apart."""

import quopri
from typing import Any

import pytest

from messages_rendered import body_of, mail
from stentor.render.quoted_printable import encode


def lines_of(text: str, **values: Any) -> list[str]:
    """The encoded lines of a mail's text part."""
    body = mail(text=text, **values).wire().partition(b"Content-Transfer-Encoding: quoted-printable\r\n\r\n")[2]
    return body.partition(b"\r\n--=_")[0].decode("ascii").split("\r\n")


def test_a_plain_value_stands_on_the_line_of_its_constant():
    assert lines_of("Hi {{ customer.name }}, hello\n", customer={"name": "Ann"}) == ["Hi Ann=", ", hello", ""]


def test_a_long_value_begins_a_line_of_its_own():
    name = "n" * 80

    assert lines_of("Hi {{ customer.name }}!\n", customer={"name": name}) == [
        "Hi =",
        "n" * 75 + "=",
        "n" * 5 + "=",
        "!",
        "",
    ]


@pytest.mark.parametrize("text", [".hidden", "a\n.\nb", "{{ customer.dot }}", "a\n{{ customer.dot }}", "x" * 75 + ".y"])
def test_no_line_begins_with_a_dot(text: str):
    lines = lines_of(text, customer={"dot": ".dot"})

    assert not [line for line in lines if line.startswith(".")]


@pytest.mark.parametrize("value", ["a\rb", "a\nb", "a\r\nb", "\n", "\r\n.\r\n", "a\n.\nb"])
def test_line_breaks_in_values_are_crlf(value: str):
    message = mail(text="[{{ customer.value }}]", html="{{ customer.value }}", customer={"value": value})

    wire = message.wire()
    assert b"\r" not in wire.replace(b"\r\n", b"")
    assert b"\n" not in wire.replace(b"\r\n", b"")
    assert b"\r\n.\r\n" not in wire
    assert body_of(message, "plain") == f"[{value}]".replace("\r\n", "\n").replace("\r", "\n")


@pytest.mark.parametrize("value", ["trailing ", "tab\t", " \n ", "a \n"])
def test_blanks_at_the_end_of_lines_survive(value: str):
    template = "x {{ customer.value }}\n {{ customer.value }}"

    assert body_of(mail(text=template, customer={"value": value}), "plain") == f"x {value}\n {value}"


def test_a_condition_that_is_not_met_leaves_the_blank_before_it():
    template = "a {% if customer.no %}\nb{% endif %} \n"

    assert body_of(mail(text=template), "plain") == "a  \n"


def test_an_escape_is_never_cut_in_two():
    text = encode("é" * 100, 33)

    assert quopri.decodestring(text.encode()).decode() == "é" * 100
    assert all(len(line) <= 76 and "=" not in line[-3:-1] for line in text.split("\r\n")[1:-1])


def test_a_huge_number_fits_on_its_lines():
    number = 10**200

    message = mail(text="{{ customer.n }}", customer={"n": number})

    assert body_of(message, "plain") == str(number)
    assert max(map(len, message.wire().split(b"\r\n"))) <= 100
