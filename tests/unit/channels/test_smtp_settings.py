from typing import Any

import pytest

from stentor.channels.kinds import checked_settings
from stentor.channels.smtp.settings import Security, SmtpSettings
from stentor.domain.vocabulary import ChannelKind
from stentor.errors import Invalid

GOOD: dict[str, Any] = {"host": "smtp.example.com", "envelope_from": "bounce@mail.example.com"}


def test_a_host_and_an_envelope_sender_are_enough() -> None:
    settings = SmtpSettings(**GOOD)

    assert (settings.port, settings.security, settings.connections_max) == (587, Security.STARTTLS, 10)
    assert settings.final_reply_timeout_s == 600


def test_the_greeting_name_is_the_domain_of_the_envelope_sender_unless_given() -> None:
    assert SmtpSettings(**GOOD).greeting_name == "mail.example.com"
    assert SmtpSettings(**GOOD, ehlo_name="out1.example.com").greeting_name == "out1.example.com"


def test_the_password_is_not_in_the_representation() -> None:
    settings = SmtpSettings(**GOOD, username="stentor", password="fifty voices")

    assert "fifty" not in repr(settings)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("host", ""),
        ("host", "smtp.example.com:587"),
        ("host", "smtp.example.com\r\nQUIT"),
        ("host", "a" * 254),
        ("port", 0),
        ("port", 65536),
        ("envelope_from", ""),
        ("envelope_from", "bounce"),
        ("envelope_from", "bounce@example.com>\r\nRCPT TO:<x@example.com"),
        ("envelope_from", "rücklauf@example.com"),
        ("ehlo_name", "two words"),
        ("connections_max", 0),
        ("connections_max", 21),
        ("in_flight_max", 9),
        ("connect_timeout_s", 0),
        ("command_timeout_s", -1),
        ("final_reply_timeout_s", 3601),
        ("idle_timeout_s", float("nan")),
    ],
)
def test_a_broken_rule_is_named_with_its_field(field: str, value: Any) -> None:
    with pytest.raises(Invalid) as raised:
        SmtpSettings(**GOOD | {field: value})

    assert [violation.pointer for violation in raised.value.violations] == [f"/{field}"]


def test_all_broken_rules_are_told_at_once() -> None:
    with pytest.raises(Invalid) as raised:
        SmtpSettings(host="", envelope_from="", port=0)

    assert {violation.pointer for violation in raised.value.violations} == {"/host", "/envelope_from", "/port"}


@pytest.mark.parametrize("host", ["smtp.example.com", "10.0.0.1", "::1", "localhost", "relay_1"])
def test_names_and_addresses_are_hosts(host: str) -> None:
    assert SmtpSettings(**GOOD | {"host": host}).host == host


def test_a_password_does_not_travel_in_the_clear() -> None:
    with pytest.raises(Invalid, match="starttls or tls"):
        SmtpSettings(**GOOD, security=Security.NONE, username="stentor", password="fifty voices")


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost"])
def test_a_password_may_stay_on_this_machine(host: str) -> None:
    login: dict[str, Any] = {"host": host, "security": Security.NONE, "username": "stentor", "password": "fifty voices"}

    assert SmtpSettings(**GOOD | login).host == host


def test_a_user_name_needs_a_password() -> None:
    with pytest.raises(Invalid, match="together"):
        SmtpSettings(**GOOD, username="stentor")


@pytest.mark.parametrize(
    ("settings", "pointer", "said"),
    [
        (
            {"host": "smtp.example.com"},
            "/settings",
            "The settings cannot be used: the field `envelope_from` is missing.",
        ),
        (
            {**GOOD, "port": "25"},
            "/settings/port",
            "The setting `port` cannot be used: it has to be a whole number, not a text.",
        ),
    ],
)
def test_a_setting_of_the_wrong_type_is_named_in_words_for_people(
    settings: dict[str, Any], pointer: str, said: str
) -> None:
    with pytest.raises(Invalid) as refused:
        checked_settings("smtp", ChannelKind.EMAIL, settings, "")

    assert [(violation.pointer, violation.message) for violation in refused.value.violations] == [(pointer, said)]
