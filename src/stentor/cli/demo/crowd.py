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
    """`people` who opted in, and some more who did not or who left; the same people at every start."""

    def __init__(self, people: int) -> None:
        self.people = people
        self.strangers = max(3, round(people * STRANGERS_SHARE))
        self._leavers = min(200, self.strangers // 3)
        self._draw = random.Random(SEED)
        self._homes = self._draw.choices(HOMES, weights=[home.share for home in HOMES], k=people + self.strangers)

    @property
    def lines(self) -> int:
        """How many `customers` and `subscriptions` have together, headers too."""
        return 2 * self.people + self.strangers + self._leavers + 2

    def customers(self) -> Iterator[bytes]:
        """A CSV of everybody, in blocks."""
        yield _csv([HEADER])
        yield from _blocks(self._row(number) for number in range(self.people + self.strangers))

    def subscriptions(self, topic_key: str) -> Iterator[bytes]:
        """A CSV of who chose e-mail for the topic: everybody who opted in, and those who left since."""
        yield _csv([("external_id", "topic", "channels")])
        yield from _blocks((external_id(number), topic_key, "email") for number in range(self.people + self._leavers))

    def leavers(self) -> list[str]:
        """Who opted in and left, by external id."""
        return [external_id(self.people + number) for number in range(self._leavers)]

    def suppressed(self) -> list[str]:
        """The addresses of people who opted in and are on the built-in opt-out list: about 1.5 in a hundred."""
        return [self._email(number) for number in range(0, self.people, 67) if _has_address(number)]

    def _row(self, number: int) -> tuple[str, ...]:
        home, (first, last) = self._homes[number], self._name(number)
        return (
            external_id(number),
            self._email(number),
            home.locale,
            self._draw.choice(home.zones),
            first,
            last,
            self._draw.choice(TEAMS),
            f"{self._draw.randint(2009, 2026)}-{self._draw.randint(1, 12):02d}",
        )

    def _name(self, number: int) -> tuple[str, str]:
        home = self._homes[number]
        return home.first[number % len(home.first)], home.last[number // len(home.first) % len(home.last)]

    def _email(self, number: int) -> str:
        """An address under a domain that is reserved for examples; one in ninety is missing, one in eighty is none."""
        if number % 90 == 17:
            return ""
        first, last = self._name(number)
        name = f"{_ascii(first)}.{_ascii(last)}{number + 1}"
        return f"{name}@{DOMAINS[number % len(DOMAINS)]}" if _has_address(number) else f"{name}@"


def external_id(number: int) -> str:
    """What the league's own system calls the person."""
    return f"fan-{number + 1:06d}"


def _has_address(number: int) -> bool:
    return number % 90 != 17 and number % 80 != 33


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
