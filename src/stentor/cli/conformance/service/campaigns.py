"""The scripted campaigns: who gets which template and when, and what the hub knows of each person.

All of it is invented, and nothing of it leads to anybody: names of example.org, and the numbers that are kept free for stories.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import msgspec

from stentor.cli.conformance.partner import Row

# Ten thousand times a hundred numbers, 555-0100 to 555-0199, would need as many area codes; these are enough for most services' pages.
AREAS = (202, 212, 213, 303, 305, 312, 404, 415, 503, 512, 602, 612, 617, 702, 713, 718, 801, 808, 907, 916)
NUMBERS_OF_AREA = 100

_TIMES = 3


class Campaign(msgspec.Struct):
    """One execution. Its rows are in the order of people's ids."""

    number: int
    rows: list[Row]
    is_cancelled: bool = False

    def people_of(self, template: int) -> set[str]:
        """Who gets that template."""
        return {row.customer for row in self.rows if row.template == template}

    @property
    def templates(self) -> set[int]:
        return {row.template for row in self.rows}


def campaign_of(number: int, templates: Sequence[int], people: int, at: datetime) -> Campaign:
    """A campaign for so many people: templates in turn, and times from `at`, which differ by seconds."""
    return Campaign(number, [_row(place, people, templates, at) for place in range(people)])


def _row(place: int, people: int, templates: Sequence[int], at: datetime) -> Row:
    scheduled = at.astimezone(UTC) + timedelta(seconds=place % _TIMES)
    name = f"kit-{place + 1:0{len(str(people))}}"
    return Row(name, templates[place % len(templates)], f"{scheduled:%Y-%m-%d %H:%M:%S}")


def values_of(place: int, people: int, names: Sequence[str]) -> list[str]:
    """What is known of the person at that place of the list; of the last one nothing, as of some people in each hub."""
    if place == people - 1:
        return ["" for _ in names]
    return [_value(place, name) for name in names]


def _value(place: int, name: str) -> str:
    match name.lower():
        case "email":
            return f"kit-{place + 1}@example.org"
        case "phone":
            area = AREAS[place // NUMBERS_OF_AREA % len(AREAS)]
            return f"+1{area}55501{place % NUMBERS_OF_AREA:02}"
        case _:
            return f"{name} {place + 1}"
