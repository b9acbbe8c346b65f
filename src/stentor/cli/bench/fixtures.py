"""What the benches send: the mail of `benchmarks/fixtures`, and people of ten attributes each."""

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

import stentor
from stentor.cli.output import fail

CONTEXT = {"match_id": "m-2026-0117", "home": "Rovers", "away": "Wanderers", "city": "Harbour City"}
CONTEXT_SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": sorted(CONTEXT),
    "properties": {name: {"type": "string", "maxLength": 200} for name in CONTEXT},
}
REGION = "DE"
"""Where the phone numbers without a country code belong."""

_FOLDER = "benchmarks/fixtures"
_PARTS = ("subject", "preheader", "html", "text")
_BLOCK_LINES = 5_000

_FIRST = ("Anna", "Bilal", "Chiara", "Dmitri", "Élodie", "Farid", "Grace", "Håkon", "Inês", "Jonas", "Keiko", "Luís")
_LAST = ("Adeyemi", "Bauer", "Costa", "Dubois", "Eriksen", "Fischer", "García", "Hughes", "Ivanova", "Jensen", "Kaya")
_CITIES = ("Hamburg", "Lisbon", "Oslo", "Leeds", "Lyon", "Graz", "Turin")
_TEAMS = ("Rovers", "Wanderers", "United", "Albion", "Athletic")
_TIERS = ("bronze", "silver", "gold")
_PLAYERS = tuple(
    {"id": number, "name": f"{first} {last}", "team": team}
    for number, (first, last, team) in enumerate(
        zip(
            itertools.cycle(_FIRST), itertools.islice(itertools.cycle(_LAST), 60), itertools.cycle(_TEAMS), strict=False
        )
    )
)
_KINDS = 997
"""So many sets of attributes there are; a prime, so that none goes with a kind of address."""

_TEXT_FIELDS = ("locale", "time_zone", "first_name", "last_name", "city", "team", "tier", "member_since")
_HEADER = f"external_id,email,phone,{','.join(_TEXT_FIELDS)},attributes\n".encode()


def mail() -> dict[str, str]:
    """The parts of the mail: 6 KB of HTML with ten links, five personal fields, one `if`, one `for` of three.

    Ends the command where there is no source checkout.
    """
    folder = Path(stentor.__file__).parents[2] / _FOLDER
    if not folder.is_dir():
        fail(f"Benches need {_FOLDER} of the source repository, and this Stentor is installed without it: clone it.")
    return {part: (folder / f"mail.{part}.liquid").read_text(encoding="utf-8") for part in _PARTS}


def customers(people: int) -> Iterator[bytes]:
    """A CSV of that many people, in blocks; every tenth has an address or a number that takes the slow path."""
    attributes = [_attributes(kind) for kind in range(_KINDS)]
    yield _HEADER
    for first in range(0, people, _BLOCK_LINES):
        numbers = range(first, min(first + _BLOCK_LINES, people))
        yield b"".join(_line(number, attributes[number % _KINDS]) for number in numbers)


def profiles(numbers: range) -> Iterator[bytes]:
    """The same people as callers of batches write them, each as the JSON of one profile."""
    attributes = [_named_attributes(kind) for kind in range(min(_KINDS, numbers.stop))]
    for number in numbers:
        kind = number % _KINDS
        email, phone = _addresses(number)
        person = {
            "first_name": _FIRST[kind % len(_FIRST)],
            "last_name": _LAST[kind % len(_LAST)],
            "phone_number": phone,
            "email_address": email,
            "locale": "en-GB",
            "time_zone": "Europe/Berlin",
        }
        profile = {"external_id": _external_id(number), "person": person, "attributes": attributes[kind]}
        yield msgspec.json.encode(profile)


def subscriptions(topic_keys: list[str], people: int) -> Iterator[bytes]:
    """A CSV of who wants mail about what: everybody about one of the topics, in turn."""
    yield b"external_id,topic,channels\n"
    for first in range(0, people, _BLOCK_LINES):
        numbers = range(first, min(first + _BLOCK_LINES, people))
        yield "".join(f"{_external_id(one)},{topic_keys[one % len(topic_keys)]},email\n" for one in numbers).encode()


def fields_of(number: int) -> dict[str, Any]:
    """One of the people as a template sees them."""
    kind = number % _KINDS
    email, phone = _addresses(number)
    given = {"external_id": _external_id(number), "email": email, "phone": phone}
    return given | dict(zip(_TEXT_FIELDS, _texts(kind), strict=True)) | _typed(kind)


def _line(number: int, attributes: str) -> bytes:
    email, phone = _addresses(number)
    return f"{_external_id(number)},{email},{phone},{attributes}\n".encode()


def _addresses(number: int) -> tuple[str, str]:
    email, phone = f"fan.{number}@mail{number % 50}.example", f"+4915{number:09d}"
    if number % 20 == 7:
        email = f"fan.{number}@bücher{number % 50}.example"
    if number % 20 == 13:
        phone = f"0151 {number % 100_000_000:08d}"
    return email, phone


def _attributes(kind: int) -> str:
    typed = msgspec.json.encode(_typed(kind)).decode().replace('"', '""')
    return f'{",".join(_texts(kind))},"{typed}"'


def _texts(kind: int) -> tuple[str, ...]:
    return (
        "en-GB",
        "Europe/Berlin",
        _FIRST[kind % len(_FIRST)],
        _LAST[kind % len(_LAST)],
        _CITIES[kind % len(_CITIES)],
        _TEAMS[kind % len(_TEAMS)],
        _TIERS[kind % len(_TIERS)],
        f"20{10 + kind % 16}-{1 + kind % 12:02d}",
    )


def _typed(kind: int) -> dict[str, Any]:
    return {
        "points": kind * 17 % 4000,
        "is_member": kind % 3 == 0,
        "newsletter": kind % 2 == 0,
        "favourites": [_PLAYERS[(kind + step) % len(_PLAYERS)] for step in (0, 7, 19)],
    }


def _named_attributes(kind: int) -> msgspec.Raw:
    facts = dict(zip(_TEXT_FIELDS, _texts(kind), strict=True)) | _typed(kind)
    # What a person is has a place of its own in a profile.
    named = [
        {"name": name, "value": value}
        for name, value in facts.items()
        if name not in {"locale", "time_zone", "first_name", "last_name"}
    ]
    return msgspec.Raw(msgspec.json.encode(named))


def _external_id(number: int) -> str:
    return f"p-{number:08d}"
