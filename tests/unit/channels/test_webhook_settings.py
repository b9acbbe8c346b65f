from typing import Any

import pytest

from stentor.channels.kinds import checked_settings
from stentor.channels.webhook.settings import URL_CHARS_MAX, Place, WebhookSettings, place_of
from stentor.domain.vocabulary import ChannelKind
from stentor.errors import Invalid

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
GOOD: dict[str, Any] = {"url": "https://example.com/hooks?team=rovers", "secrets": SECRET}


def test_a_url_and_a_secret_are_enough():
    settings = WebhookSettings(**GOOD)

    assert (settings.batch_max, settings.connections_max, settings.timeout_s) == (1, 10, 30.0)
    assert settings.place == Place("https", "example.com", 443)


def test_neither_the_secrets_nor_the_path_are_in_the_representation():
    assert repr(WebhookSettings(**GOOD)) == "WebhookSettings(https://example.com:443)"


@pytest.mark.parametrize(
    ("url", "place"),
    [
        ("https://example.com:8443", Place("https", "example.com", 8443)),
        ("https://xn--bcher-kva.example/", Place("https", "xn--bcher-kva.example", 443)),
        ("http://localhost:8000/x", Place("http", "localhost", 8000)),
        ("https://192.0.2.7/x", Place("https", "192.0.2.7", 443)),
        ("https://[2001:db8::7]:8443/x", Place("https", "2001:db8::7", 8443)),
    ],
)
def test_a_url_leads_to_a_host_and_a_port(url: str, place: Place):
    assert WebhookSettings(url=url, secrets=SECRET).place == place_of(url) == place


@pytest.mark.parametrize(
    "url",
    [
        "",
        "example.com/hooks",
        "file:///etc/passwd",
        "gopher://example.com/",
        "ftp://example.com/",
        "https://",
        "https:///path",
        "https://example.com:0/",
        "https://example.com:99999/",
        "https://example.com:port/",
        "https://me:pw@example.com/",
        "https://example.com@127.0.0.1/",
        "https://example.com/#there",
        "https://example.com./",
        "https://localhost./",
        "https://127.1/",
        "https://2130706433/",
        "https://0x7f.1/",
        "https://0x7f000001/",
        "https://0177.0.0.1/",
        "https://127.0.0.1./",
        "https://1.2.3.4.5/",
        "https://[::ffff:127.0.0.1/",
        "https://[fe80::1%25eth0]/",
        "https://[0:0:0:0:0:0:0:1]x/",
        "https://exa\u3002mple.com/",
        "https://127\u30020\u30020\u30021/",
        "https://b\u00fccher.example/",
        "https://EXAMPLE.com/",
        "https://example.com/a b",
        "https://example.com/\r\nX-Evil: 1",
        "https://example.com\\@evil.example/",
        "https://example.com/\x00",
        "https://-example.com/",
        "https://example..com/",
        "https://" + "a" * 64 + ".example/",
        "https://example.com/" + "a" * URL_CHARS_MAX,
    ],
)
def test_a_url_that_others_may_read_differently_is_refused(url: str):
    with pytest.raises(Invalid) as caught:
        WebhookSettings(url=url, secrets=SECRET)

    assert [violation.pointer for violation in caught.value.violations] == ["/url"]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("secrets", ""),
        ("secrets", "password"),
        ("batch_max", 0),
        ("batch_max", 1_001),
        ("connections_max", 0),
        ("connections_max", 101),
        ("connect_timeout_s", 0.0),
        ("connect_timeout_s", 121.0),
        ("timeout_s", 0.0),
        ("timeout_s", float("inf")),
    ],
)
def test_a_broken_field_is_named(field: str, value: object):
    with pytest.raises(Invalid) as caught:
        WebhookSettings(**GOOD | {field: value})

    assert [violation.pointer for violation in caught.value.violations] == [f"/{field}"]


def test_the_api_is_told_of_the_secret_by_its_own_name_and_never_tells_it():
    told = checked_settings("webhook", ChannelKind.WEBHOOK, {"url": GOOD["url"]}, SECRET)

    assert told == {
        "url": GOOD["url"], "batch_max": 1, "connections_max": 10, "connect_timeout_s": 10.0, "timeout_s": 30.0,
    }  # fmt: skip
    with pytest.raises(Invalid) as caught:
        checked_settings("webhook", ChannelKind.WEBHOOK, {"url": GOOD["url"]}, "short")
    assert [violation.pointer for violation in caught.value.violations] == ["/secret"]


@pytest.mark.parametrize(
    ("settings", "pointer"),
    [
        ({"url": GOOD["url"], "secrets": SECRET}, "/settings/secrets"),
        ({"url": GOOD["url"], "uri": "x"}, "/settings/uri"),
        ({"url": 7}, "/settings/url"),
        ({}, "/settings"),
    ],
)
def test_settings_of_another_shape_are_refused(settings: dict[str, Any], pointer: str):
    with pytest.raises(Invalid) as caught:
        checked_settings("webhook", ChannelKind.WEBHOOK, settings, SECRET)

    assert [violation.pointer for violation in caught.value.violations] == [pointer]


def test_a_webhook_sender_delivers_webhooks_and_nothing_else():
    with pytest.raises(Invalid, match="channel webhook"):
        checked_settings("webhook", ChannelKind.EMAIL, {"url": GOOD["url"]}, SECRET)
