"""What a proxy knows of the messages on an SMTP connection: those that were written to the end and not answered."""

import pytest

from stentor.testing.torture.mail_meter import MailMeter

GREETED = b"220 relay ESMTP\r\n250-relay\r\n250-PIPELINING\r\n250 CHUNKING\r\n"
BODY = b"Subject: BDAT 5 LAST\r\n\r\nRSET\r\n"
ENVELOPE = b"RSET\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<c@d.example>\r\n"
MESSAGE = ENVELOPE + b"BDAT %d LAST\r\n" % len(BODY) + BODY
TAKEN = b"250 OK\r\n" * 4


@pytest.fixture
def meter() -> MailMeter:
    """Past the greetings."""
    made = MailMeter()
    made.said(b"EHLO client\r\n")
    made.replied(GREETED)
    return made


def test_a_message_counts_until_its_last_reply(meter: MailMeter):
    meter.said(MESSAGE * 3)
    before = meter.unanswered
    meter.replied(TAKEN + TAKEN[:-8])
    one_short = meter.unanswered
    meter.replied(TAKEN[-8:])

    assert (before, one_short, meter.unanswered) == (3, 2, 1)


def test_a_message_counts_from_its_last_byte(meter: MailMeter):
    meter.said(MESSAGE[:-1])
    before = meter.unanswered
    meter.said(MESSAGE[-1:])

    assert (before, meter.unanswered) == (0, 1)


def test_it_does_not_matter_in_which_pieces_it_is_heard(meter: MailMeter):
    for byte in MESSAGE * 2:
        meter.said(bytes([byte]))
    for byte in b"250-two\r\n250 lines\r\n" + TAKEN[8:]:
        meter.replied(bytes([byte]))

    assert meter.unanswered == 1


def test_a_refusal_is_an_answer(meter: MailMeter):
    meter.said(MESSAGE)
    meter.replied(b"250 OK\r\n250 OK\r\n550 no\r\n503 5.5.1 RCPT first\r\n")

    assert meter.unanswered == 0
