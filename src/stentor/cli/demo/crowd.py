"""The demo's people: made up, the same at every start, spread over languages and time zones as fans of a league are."""

import csv
import io
import random
from collections.abc import Iterator
from typing import NamedTuple

SEED = 49
STRANGERS_SHARE = 0.04
"""People who are in the brand but not in the audience, beside those who are: never opted in, or left."""

_BLOCK_LINES = 5_000


class Home(NamedTuple):
    """Where a share of the people lives: their language, zones, and what they are called there."""

    share: int
    locale: str
    zones: tuple[str, ...]
    first: tuple[str, ...]
    last: tuple[str, ...]


HOMES = (
    Home(
        62,
        "en-US",
        ("America/Los_Angeles", "America/Denver", "America/Chicago", "America/New_York", "America/Phoenix"),
        ("Ava", "Liam", "Mia", "Noah", "Zoe", "Ethan", "Grace", "Mason", "Ruby", "Owen", "Maya", "Caleb"),
        ("Walker", "Hughes", "Bennett", "Foster", "Reyes", "Coleman", "Nguyen", "Patel", "Brooks", "Sanders"),
    ),
    Home(
        9,
        "es-MX",
        ("America/Mexico_City", "America/Tijuana", "America/Monterrey"),
        ("Camila", "Mateo", "Valeria", "Diego", "Ximena", "Emilio", "Renata", "Andrés"),
        ("Hernández", "Castillo", "Ramírez", "Ortega", "Núñez", "Delgado", "Ibarra"),
    ),
    Home(
        8,
        "en-GB",
        ("Europe/London",),
        ("Isla", "Oscar", "Freya", "Alfie", "Poppy", "Rory", "Niamh", "Callum"),
        ("Whitfield", "Ashworth", "Okafor", "MacLeod", "Pritchard", "Singh", "Hargreaves"),
    ),
    Home(
        7,
        "de-DE",
        ("Europe/Berlin",),
        ("Lena", "Jonas", "Clara", "Felix", "Ronja", "Moritz", "Jürgen", "Käthe"),
        ("Brandt", "Vogel", "Schäfer", "Köhler", "Yilmaz", "Krüger", "Lindner"),
    ),
    Home(
        6,
        "pt-BR",
        ("America/Sao_Paulo", "America/Manaus"),
        ("Beatriz", "João", "Larissa", "Thiago", "Letícia", "Caio"),
        ("Oliveira", "Barbosa", "Teixeira", "Araújo", "Peixoto"),
    ),
    Home(
        5,
        "ja-JP",
        ("Asia/Tokyo",),
        ("Yui", "Haruto", "Sakura", "Ren", "Aoi", "Sota"),
        ("Takahashi", "Kobayashi", "Yoshida", "Matsumoto", "Inoue"),
    ),
    Home(
        3,
        "fi-FI",
        ("Europe/Helsinki",),
        ("Aino", "Eetu", "Helmi", "Väinö", "Lumi"),
        ("Laine", "Mäkelä", "Koskinen", "Heikkilä"),
    ),
)
DOMAINS = ("mail.example", "post.example", "inbox.example", "fans.example", "home.example.org")
TEAMS = ("49ers", "Chiefs", "Packers", "Lions", "Bills", "Eagles", "Cowboys", "Seahawks")

HEADER = (
    "external_id",
    "email",
    "locale",
    "time_zone",
    "attributes.first_name",
    "attributes.last_name",
    "attributes.favourite_team",
    "attributes.member_since",
)


class Crowd:
    """`people` who opted in, and some more who did not; the same people at every start."""

    def __init__(self, people: int) -> None:
        self.people = people
        self.strangers = max(3, round(people * STRANGERS_SHARE)) if people else 0

    def customers(self) -> Iterator[bytes]:
        """A CSV of everybody, in blocks."""
        draw = random.Random(SEED)
        homes = draw.choices(HOMES, weights=[home.share for home in HOMES], k=self.people + self.strangers)
        yield _csv([HEADER])
        rows = (self._row(draw, number, home) for number, home in enumerate(homes))
        yield from _blocks(rows)

    def subscriptions(self, topic_key: str) -> Iterator[bytes]:
        """A CSV of who chose e-mail for the topic: everybody who opted in."""
        yield _csv([("external_id", "topic", "channel")])
        yield from _blocks((external_id(number), topic_key, "email") for number in range(self.people))

    def leavers(self) -> list[str]:
        """Some of the strangers: they had opted in, and left."""
        return [external_id(self.people + number) for number in range(min(200, self.strangers // 3))]

    def suppressed(self) -> list[str]:
        """People who opted in, but whose address is on the built-in opt-out list: about 1.5 in a hundred."""
        return [external_id(number) for number in range(0, self.people, 67)]

    def _row(self, draw: random.Random, number: int, home: Home) -> tuple[str, ...]:
        first, last = draw.choice(home.first), draw.choice(home.last)
        return (
            external_id(number),
            _address(number, first, last),
            home.locale,
            draw.choice(home.zones),
            first,
            last,
            draw.choice(TEAMS),
            f"{draw.randint(2009, 2026)}-{draw.randint(1, 12):02d}",
        )


def external_id(number: int) -> str:
    """What the league's own system calls the person."""
    return f"fan-{number + 1:06d}"


def _address(number: int, first: str, last: str) -> str:
    """An address under a domain that is reserved for examples; one in ninety is missing, one in eighty is none."""
    if number % 90 == 17:
        return ""
    name = f"{_ascii(first)}.{_ascii(last)}{number + 1}"
    if number % 80 == 33:
        return f"{name}@"
    return f"{name}@{DOMAINS[number % len(DOMAINS)]}"


_PLAIN = str.maketrans("áéíóúñäöüãâêôçßÁÉÍÓÚÑÄÖÜ", "aeiounaouaaeocsAEIOUNAOU")


def _ascii(name: str) -> str:
    return name.translate(_PLAIN).lower()


def _blocks(rows: Iterator[tuple[str, ...]]) -> Iterator[bytes]:
    block: list[tuple[str, ...]] = []
    for row in rows:
        block.append(row)
        if len(block) == _BLOCK_LINES:
            yield _csv(block)
            block = []
    if block:
        yield _csv(block)


def _csv(rows: list[tuple[str, ...]]) -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue().encode()
