"""Whatever is audited, no secret in it is told."""

import json
import re
from collections.abc import Iterator
from typing import Any, get_type_hints

import msgspec
import pytest

from documents import ROOT
from stentor.accounts import test_recipient_store
from stentor.accounts.audit_masks import LEFT_OUT, is_secret, masked
from stentor.accounts.model import Brand, BrandSettings, Organisation
from stentor.audience.model import Topic
from stentor.audience.segments.model import Segment
from stentor.campaigns.catalogue_shares import CatalogueShare
from stentor.campaigns.model import Campaign, Generator, Template
from stentor.channels.model import Sender
from stentor.channels.partners.model import PartnerChannel
from stentor.channels.sandbox.model import ChaosRule
from stentor.channels.smtp.settings import SmtpSettings
from stentor.channels.webhook.settings import WebhookSettings
from stentor.optouts.model import OptOutList
from stentor.triggers.batches.model import BatchSchedule
from stentor.triggers.schedules.model import Schedule

KEY = b"k" * 32
CANARY = "CANARY"

SHAPES: dict[str, list[Any]] = {
    "brand": [Brand, BrandSettings],
    "campaign": [Campaign],
    "catalogue_share": [CatalogueShare],
    "chaos": [ChaosRule],
    "event_generator": [Generator],
    "optout_list": [OptOutList],
    "organisation": [Organisation],
    "partner_channel": [PartnerChannel],
    "schedule": [Schedule, BatchSchedule],
    "segment": [Segment],
    "sender": [Sender, SmtpSettings, WebhookSettings],
    "template": [Template],
    "test_recipient": [test_recipient_store.TestRecipient],
    "topic": [Topic],
    # Told by a few members that the service names.
    "connector": [],
    "hub_client": [],
    "invitation": [],
    "key": [],
    "listener": [],
    "member": [],
    "partner_apps": [],
    "partner_templates": [],
    "promotions": [],
    "user": [],
}

SOUNDS_SECRET = re.compile(r"key|auth|salt|\bpin\b|hook|cert|nonce|signature|secret|pass|token", re.IGNORECASE)
NO_SECRETS = {
    "brand_key": "It names a brand on the wire, and opens nothing.",
    "has_secret": "It says that there is one.",
    "key": "A topic's name for programs.",
    "key_rate_per_s": "How often a key may ask.",
    "topic_key": "The same, where a schedule runs for a topic.",
    "unauthenticated_opt_in_counts": "Whether an opt-in without a key counts.",
}


def test_every_kind_of_thing_that_is_recorded_has_a_shape_here():
    source = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "src" / "stentor").rglob("*.py"))
    recorded = set(
        re.findall(r'(?:record|_record_added|_record_deleted|_tell)\(\s*conn,\s*"([a-z_]+)\.[a-z_]+"', source)
    )

    assert {"key", "sender", "user"} < recorded
    assert recorded == SHAPES.keys()


def test_every_name_in_a_shape_that_sounds_secret_is_left_out_or_said_to_be_none():
    sounding = {name for shapes in SHAPES.values() for shape in shapes for name in names_in(shape)}
    sounding = {name for name in sounding if SOUNDS_SECRET.search(name)}

    assert {name for name in sounding if not is_secret(name)} - NO_SECRETS.keys() == set()
    assert {"password", "secrets"} < sounding


@pytest.mark.parametrize(
    "told",
    [
        {"settings": {"url": "https://hooks.example.com/CANARY/x?y"}},
        {"settings": {"url": "https://hooks.example.com/?token=CANARY", "more": [{"callback": "http://a.b:8/CANARY"}]}},
        {"url": f"smtps://user:{CANARY}@mail.example.com:465"},
        {"note": f"Ask https://user:{CANARY}@host/ or ftp://CANARY@host, and twice: http://a@CANARY@host."},
        {
            "settings": {"secrets": "CANARY"},
            "context": {"Authorization": "Bearer CANARY", "x": {"api-token": "CANARY"}},
        },
        {
            "secrets": ["CANARY", {"a": "CANARY"}],
            "signing_keys": {"kid": "CANARY"},
            "passwords": {"ann": {"b": "CANARY"}},
        },
        {"api_key": "CANARY", "apiKey": "CANARY", "PRIVATE_KEY": "CANARY", "Set-Cookie": "CANARY", "pass_token": 12345},
    ],
)
def test_no_secret_is_told_however_deep_it_lies(told: dict[str, Any]):
    text = json.dumps(masked(told, KEY))

    assert "CANARY" not in text
    assert "12345" not in text


def test_what_is_no_secret_is_told_as_it_is():
    told = {
        "has_secret": True,
        "new_secret": False,
        "password": "",
        "token_expires_at": None,
        "home": "https://club.example/",
        "text": "See https://club.example/news?page=2 or a//b, at 10:30 // mail me@club.example",
        "pace_per_s": 1.5,
        "scopes": ["run"],
    }
    assert masked(told, KEY) == told


def test_two_urls_are_told_apart_by_a_fingerprint_that_needs_the_key():
    def fingerprint(url: str, key: bytes = KEY) -> Any:
        return masked({"url": url}, key)["url"]

    one, other = fingerprint("https://h.example/a"), fingerprint("https://h.example/b")
    assert (
        one == {"url": "https://h.example/…", "fingerprint": one["fingerprint"]} == fingerprint("https://h.example/a")
    )
    assert one["fingerprint"] != other["fingerprint"]
    assert one["fingerprint"] != fingerprint("https://h.example/a", b"")["fingerprint"]
    assert fingerprint("HTTPS://H.example:8443/a")["url"] == "HTTPS://H.example:8443/…"
    assert LEFT_OUT not in str(one)


def names_in(shape: Any, seen: set[Any] | None = None) -> Iterator[str]:
    """All names of members in a type, and in those that it is made of."""
    seen = set() if seen is None else seen
    if shape in seen:
        return
    seen.add(shape)
    if isinstance(shape, type) and issubclass(shape, msgspec.Struct):
        for name, kind in get_type_hints(shape).items():
            yield name
            yield from names_in(kind, seen)
    for inner in getattr(shape, "__args__", ()):
        yield from names_in(inner, seen)
