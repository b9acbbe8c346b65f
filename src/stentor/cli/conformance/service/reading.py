"""What comes from a service, in any casing, with numbers as texts; and what is refused of it."""

from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

ITEMS_MAX = 100
PEOPLE_MAX = 10_000

_NUMBER_MAX = 2**31 - 1


class Refused(Exception):
    """The hub says no."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status
        self.text = text


def refuse(text: str, status: int = 400) -> NoReturn:
    """Raises Refused."""
    raise Refused(status, text)


def lowered(said: Any) -> dict[str, Any]:
    """An object by its names in lower case. Raises Refused."""
    if not isinstance(said, dict):
        refuse("An object is expected.")
    return {str(name).lower(): value for name, value in said.items()}


def items_of(body: Any) -> list[dict[str, Any]]:
    """The objects of an array. Raises Refused."""
    if not isinstance(body, list) or not body:
        refuse("An array of objects is expected.")
    if len(body) > ITEMS_MAX:
        refuse(f"At most {ITEMS_MAX} items are taken in one call; these are {len(body)}.")
    return [lowered(one) for one in body]


def number_of(said: Mapping[str, Any], name: str) -> int:
    """A whole number from 0 up, or its digits. Raises Refused."""
    found = optional_number_of(said, name)
    if found is None:
        refuse(f"{name} is missing.")
    return found


def optional_number_of(said: Mapping[str, Any], name: str) -> int | None:
    """The same, or None where it is not said. Raises Refused."""
    value = said.get(name.lower())
    if value is None:
        return None
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= len(str(_NUMBER_MAX)):
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= _NUMBER_MAX:
        refuse(f"{name} is a whole number, not {value!r}.")
    return value


def text_of(said: Mapping[str, Any], name: str) -> str:
    """A text that is not empty, or a number as one. Raises Refused."""
    value = said.get(name.lower())
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if not isinstance(value, str) or not value:
        refuse(f"{name} is missing.")
    return value


def people_of(said: Mapping[str, Any]) -> Sequence[str]:
    """The CustomerIDs of an object. Raises Refused."""
    found = said.get("customerids")
    if not isinstance(found, list) or not found:
        refuse("CustomerIDs is an array of at least one id.")
    if len(found) > PEOPLE_MAX:
        refuse(f"At most {PEOPLE_MAX:,} CustomerIDs are taken in one call; these are {len(found):,}.")
    return [text_of({"customerid": one}, "CustomerID") for one in found]
