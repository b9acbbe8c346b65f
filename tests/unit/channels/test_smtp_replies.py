import pytest

from stentor.channels.smtp.replies import REPLY_BYTES_MAX, Garbage, ReplyReader, answer

STREAM = b"250 one\r\n250-two\r\n250-\r\n250 three\r\n354\r\n550 5.1.1 no\r\n250 lf only\n"
REPLIES = [
    (250, "250 one"),
    (250, "250 two three"),
    (354, "354"),
    (550, "550 5.1.1 no"),
    (250, "250 lf only"),
]


@pytest.mark.parametrize("split", range(len(STREAM) + 1))
def test_replies_are_the_same_wherever_the_stream_is_cut(split: int) -> None:
    reader = ReplyReader()

    replies = reader.feed(STREAM[:split]) + reader.feed(STREAM[split:])

    assert [(reply[0], answer(reply)) for reply in replies] == REPLIES


def test_replies_may_come_byte_by_byte() -> None:
    reader = ReplyReader()

    replies = [reply for octet in STREAM for reply in reader.feed(bytes([octet]))]

    assert [(reply[0], answer(reply)) for reply in replies] == REPLIES


@pytest.mark.parametrize(
    "line", [b"", b"25", b"abc", b"250x", b"199 no", b"600 no", b"2500 no", b"-250", b"250\t", b" 250 x"]
)
def test_a_line_that_is_no_reply_is_garbage(line: bytes) -> None:
    with pytest.raises(Garbage):
        ReplyReader().feed(line + b"\r\n")


def test_the_lines_of_a_reply_have_one_code() -> None:
    with pytest.raises(Garbage):
        ReplyReader().feed(b"250-a\r\n251 b\r\n")


def test_an_unfinished_line_is_bounded() -> None:
    reader = ReplyReader()
    reader.feed(b"250 " + b"x" * (REPLY_BYTES_MAX - 4))

    with pytest.raises(Garbage):
        reader.feed(b"x")


def test_lines_without_end_are_bounded() -> None:
    lines = b"250-\r\n" * (REPLY_BYTES_MAX // 4)

    with pytest.raises(Garbage):
        ReplyReader().feed(lines)


def test_the_bound_is_of_each_reply_and_not_of_all() -> None:
    reader = ReplyReader()

    count = sum(len(reader.feed(b"250-" + b"x" * 1000 + b"\r\n250 end\r\n")) for _ in range(200))

    assert count == 200


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b"550 caf\xe9\r", "550 caf\N{REPLACEMENT CHARACTER}"),
        (b"550 a\x1b[31mb\x00c\r", "550 a\N{REPLACEMENT CHARACTER}[31mb\N{REPLACEMENT CHARACTER}c"),
        (b"550  many   spaces \r", "550 many spaces"),
    ],
)
def test_an_answer_is_printable(text: bytes, words: str) -> None:
    assert answer((550, text)) == words


def test_an_answer_is_short() -> None:
    assert len(answer((550, b"550 " + b"x" * 60_000))) == 500
