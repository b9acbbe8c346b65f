import pytest
from hypothesis import given
from hypothesis import strategies as st

from stentor.channels.smtp.envelope import BadAddress, Offers, Unsendable, dot_stuffed, letter_for, path_of, with_crlf

LINES = st.lists(st.sampled_from([b"\r", b"\n", b"\r\n", b".", b"x", b"\x00", b"\xff", b""]), max_size=40).map(b"".join)
EVERYTHING = Offers(pipelining=True, chunking=True, eight_bit_mime=True, smtputf8=True, size=True)


@given(LINES)
def test_every_line_ends_in_crlf_and_in_nothing_else(raw: bytes) -> None:
    body = with_crlf(raw)

    assert body.count(b"\r") == body.count(b"\n") == body.count(b"\r\n")
    assert body.endswith(b"\r\n")


@given(LINES)
def test_the_lines_stay_the_same(raw: bytes) -> None:
    lines = raw.replace(b"\r\n", b"\n").replace(b"\r", b"\n").removesuffix(b"\n").split(b"\n")

    assert with_crlf(raw).removesuffix(b"\r\n").split(b"\r\n") == lines


@given(LINES)
def test_clean_lines_are_not_touched(raw: bytes) -> None:
    body = with_crlf(raw)

    assert with_crlf(body) is body


@given(LINES)
def test_what_a_server_unstuffs_is_the_body(raw: bytes) -> None:
    body = with_crlf(raw)
    stuffed = dot_stuffed(body)

    *lines, end, rest = stuffed.split(b"\r\n")

    assert (end, rest) == (b".", b"")
    assert b"." not in lines
    assert b"".join(line.removeprefix(b".") + b"\r\n" for line in lines) == body


@pytest.mark.parametrize(
    "address", ["a@b", "o'hara+tag@example.com", "x=y@example.com", "jörg@example.com", "用户@例子.example"]
)
def test_an_address_stands_as_it_is(address: str) -> None:
    assert path_of(address) == address.encode()


@given(st.text(max_size=20))
def test_no_address_leaves_its_angle_brackets(text: str) -> None:
    try:
        path = path_of(f"{text}@example.com")
    except BadAddress:
        return

    assert not set(path) & set(b"<> \r\n\x00\t\x7f")
    assert path.decode() == f"{text}@example.com"


def test_a_header_that_is_not_ascii_needs_smtputf8_and_a_body_does_not() -> None:
    header = letter_for("ann@example.com", "Subject: Grüße\r\n\r\nhi\r\n".encode(), EVERYTHING)
    body = letter_for("ann@example.com", "Subject: Hi\r\n\r\nGrüße\r\n".encode(), EVERYTHING)

    assert header.parameters.startswith(b" SMTPUTF8 BODY=8BITMIME SIZE=")
    assert body.parameters.startswith(b" BODY=8BITMIME SIZE=")


def test_what_cannot_be_put_into_seven_bits_is_not_sent() -> None:
    raw = b"Content-Type: text/plain; charset=no-such-charset\r\nContent-Transfer-Encoding: 8bit\r\n\r\n\xff\xfe\r\n"

    with pytest.raises(Unsendable, match="seven bits"):
        letter_for("ann@example.com", raw, Offers())
