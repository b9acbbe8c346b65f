import pytest

from stentor.channels.contract import Accepted, Deferred, Outcome, Rejected
from stentor.channels.smtp.replies import Reply
from stentor.channels.smtp.verdicts import Said, accepted, refused


def reply(text: str) -> Reply:
    return int(text[:3]), text.encode()


@pytest.mark.parametrize(
    ("said", "name"),
    [
        ("250 2.0.0 Ok: queued as 4ZQx7k1Yz3z4w", "4ZQx7k1Yz3z4w"),
        ("250 OK id=1tQ3vK-00000001abc-2DxY", "1tQ3vK-00000001abc-2DxY"),
        ("250 Ok 010001938f1c2a3b-11111111-2222-3333-4444-555555555555-000000", None),
        ("250 2.0.0 OK  1700000000 d2e1a72fcca58-6cb4 - gsmtp", ""),
        ("250 OK", ""),
        ("250", ""),
    ],
)
def test_the_providers_name_of_a_message_is_found_where_it_gives_one(said: str, name: str | None) -> None:
    assert accepted(reply(said)) == Accepted(said.removeprefix("250 Ok ") if name is None else name)


@pytest.mark.parametrize(
    "said",
    [
        "550 5.1.1 <x@example.com>: Recipient address rejected: User unknown in virtual mailbox table",
        "550-5.1.1 The email account that you tried to reach does not exist.\n550 5.1.1 Learn more",
        "550 5.1.10 RESOLVER.ADR.RecipientNotFound; Recipient not found by SMTP address lookup",
        "553 5.1.2 domain has no mail",
        "501 5.1.3 Bad recipient address syntax",
        "551 5.1.6 moved",
        "550 5.2.1 The email account that you tried to reach is disabled",
        "554 5.2.1 closed",
        "550 No such user here",
        "550 User unknown",
        "550 5.5.0 Requested action not taken: mailbox unavailable",
        "550 5.1.0 unknown recipient",
        "553 sorry, no mailbox here by that name",
        "550 The recipient does not exist",
    ],
)
def test_a_dead_mailbox_is_a_bad_address(said: str) -> None:
    outcome = refused(Said.TO_RCPT, reply(said))

    assert isinstance(outcome, Rejected)
    assert outcome.bad_address


@pytest.mark.parametrize(
    "said",
    [
        "550 5.7.1 Our system has detected that this message is likely unsolicited mail",
        "550 5.7.1 <x@example.com>: User unknown to our policy",
        "554 5.7.1 <x@example.com>: Relay access denied",
        "550 5.7.26 Unauthenticated email is not accepted",
        "552 5.2.2 The mailbox is full",
        "550 5.4.1 Recipient address rejected: Access denied",
        "550 5.1.8 sender's domain does not resolve",
        "550 5.1.7 bad sender",
        "550 Message refused",
        "550 blocked by our blocklist",
        "554 no",
        "503 5.5.1 bad sequence of commands",
        "552 mailbox unavailable",
    ],
)
def test_a_refusal_for_another_reason_is_not(said: str) -> None:
    outcome = refused(Said.TO_RCPT, reply(said))

    assert isinstance(outcome, Rejected)
    assert not outcome.bad_address


def test_words_about_mailboxes_count_in_the_answer_to_the_recipient_only() -> None:
    assert refused(Said.TO_CONTENT, reply("550 no such user")) == Rejected("550 no such user")
    assert refused(Said.TO_CONTENT, reply("550 5.1.1 gone")) == Rejected("550 5.1.1 gone", bad_address=True)


@pytest.mark.parametrize("said", [Said.TO_RCPT, Said.TO_CONTENT])
@pytest.mark.parametrize("words", ["450 4.2.1 busy", "451 try later", "452 4.2.2 full", "499 ?"])
def test_4xx_is_not_now(said: Said, words: str) -> None:
    assert refused(said, reply(words)) == Deferred(words)


@pytest.mark.parametrize("said", list(Said))
@pytest.mark.parametrize("words", ["421 4.7.0 closing", "530 5.7.0 log in", "535 5.7.8 wrong", "538 5.7.11 encrypt"])
def test_closing_and_logins_speak_of_the_sender(said: Said, words: str) -> None:
    assert refused(said, reply(words)) == Deferred(words, sender_wide=True)


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        ("550 5.7.1 sender not allowed", Deferred("550 5.7.1 sender not allowed", sender_wide=True)),
        ("553 5.1.8 bad sender", Deferred("553 5.1.8 bad sender", sender_wide=True)),
        ("451 4.7.1 too fast", Deferred("451 4.7.1 too fast", sender_wide=True)),
        ("552 5.3.4 too big", Rejected("552 5.3.4 too big")),
        ("555 5.5.4 unknown parameter", Rejected("555 5.5.4 unknown parameter")),
    ],
)
def test_a_refusal_of_mail_is_of_us_unless_of_its_parameters(words: str, meant: Outcome) -> None:
    assert refused(Said.TO_MAIL, reply(words)) == meant
