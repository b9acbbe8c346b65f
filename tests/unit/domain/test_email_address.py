"""What becomes of the e-mail addresses that people, spreadsheets and attackers write."""

import hashlib

import pytest

from stentor.domain.address import (
    ADDRESS_CHARS_MAX,
    InvalidAddress,
    email_digest,
    normal_email,
    normal_emails,
)


@pytest.mark.fault("S11")
@pytest.mark.parametrize(
    ("given", "normal"),
    [
        ("ann@example.com", "ann@example.com"),
        ("Ann.Lee+News@Example.COM", "Ann.Lee+News@example.com"),
        ("  ann@example.com\r\n", "ann@example.com"),
        ("INFO@example.com", "INFO@example.com"),
        ("INFO@exämple.com", "INFO@xn--exmple-cua.com"),
        ("user@xn--exmple-cua.com", "user@xn--exmple-cua.com"),
        ("user@XN--EXMPLE-CUA.com", "user@xn--exmple-cua.com"),
        ("ann@faß.de", "ann@xn--fa-hia.de"),
        ("ann@中国.中国", "ann@xn--fiqs8s.xn--fiqs8s"),
        ("ann@example。com", "ann@example.com"),
        ("ann@exa\u0308mple.com", "ann@xn--exmple-cua.com"),
        ("zoe\u0308@example.com", "zo\u00eb@example.com"),
        ('"ann"@example.com', "ann@example.com"),
        ('"ann lee"@example.com', '"ann lee"@example.com'),
        ('"ann@home"@example.com', '"ann@home"@example.com'),
        ("ann@mail.corp.local", "ann@mail.corp.local"),
        ("ann@shop.test", "ann@shop.test"),
        ("a" * 64 + "@example.com", "a" * 64 + "@example.com"),
    ],
)
def test_an_address_is_stored_in_one_form_which_normalising_again_does_not_change(given: str, normal: str) -> None:
    assert normal_email(given) == normal
    assert normal_email(normal) == normal


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ("", "empty"),
        (" \t", "empty"),
        ("ann", "must have an @-sign"),
        ("ann＠example.com", "full-width"),
        ("ann@", "something after the @-sign"),
        ("@example.com", "something before the @-sign"),
        ("ann@example.com.", "end with a period"),
        ("ann..lee@example.com", "two periods"),
        ("ann@example", "should have a period"),
        ("ann@192.0.2.1", "top-level domain"),
        ("ann@[192.0.2.1]", "IP address"),
        ("ann@-example.com", "hyphen"),
        ("ann@exam_ple.com", "'_'"),
        ("Ann <ann@example.com>", "display name"),
        ("ann@example.com, bob@example.com", "invalid characters"),
        ("ann@example.com\x00", "U+0000"),
        ("ann\x00@example.com", "U+0000"),
        ("ann\r\nBcc:bob@example.com", "invalid characters"),
        ('"ann\r\nlee"@example.com', "invalid characters"),
        ("ann\u200d@example.com", "ZERO WIDTH JOINER"),
        ("ann\u202e@example.com", "RIGHT-TO-LEFT OVERRIDE"),
        ("\ud800@example.com", "U+D800"),
        ("ann@xn--a.com", "not valid IDNA"),
        ("ann@1.\u05d0\u05d1.com", "not valid IDNA"),
        ("a" * 65 + "@example.com", "65 bytes; at most 64"),
        ("é" * 33 + "@example.com", "66 bytes; at most 64"),
        ("ann@" + "b" * 64 + ".com", "too many"),
        ("ann@" + ("b" * 60 + ".") * 4 + "example", "too long"),
        ("a" * (ADDRESS_CHARS_MAX + 1) + "@example.com", "too long"),
    ],
)
def test_what_is_no_address_says_why(given: str, why: str) -> None:
    answer = normal_email(given)

    assert isinstance(answer, InvalidAddress)
    assert why in answer.reason


def test_one_bad_address_does_not_stop_a_batch() -> None:
    answers = normal_emails(["ann@example.com", "nobody", "Bob@EXAMPLE.com"])

    assert answers == ["ann@example.com", normal_email("nobody"), "Bob@example.com"]


@pytest.mark.fault("S11")
def test_an_opt_out_holds_whatever_the_case_of_the_address() -> None:
    assert email_digest("Ann@example.com") == email_digest(" ann@example.com ")
    assert email_digest("ann@example.com") == hashlib.md5(b"ann@example.com", usedforsecurity=False).digest()
