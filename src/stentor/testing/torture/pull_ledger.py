"""The ledger of the service that pulls: one JSON object a line, in the order in which it was written.

| `what` | says |
|---|---|
| `noticed` | the hub told of this campaign |
| `asked` | the list is about to be asked for; said again at each try, and the last one counts |
| `taken` | a page of the list has come whole, or its lease was acknowledged, and these people are on it |
| `doubted` | the same, but whoever had it in its hands died: nobody executes it |
| `revoked` | the campaign's feed says that somebody must not be written to any more |
| `telling`, `told` | these people's deliveries are about to be reported; were |
| `refused` | the hub said what no outage explains |
"""

import json
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass
class TakenList:
    """What came of a list. `asked` counts the tries; one before the last may have been answered with nobody reading it."""

    asked_ns: int = 0
    asked: int = 0
    people: Counter[str] = field(default_factory=Counter)
    doubted: set[str] = field(default_factory=set)


@dataclass
class TakenRun:
    """What the service has of one campaign."""

    is_noticed: bool = False
    lists: dict[int, TakenList] = field(default_factory=dict)
    revoked: list[tuple[int, str]] = field(default_factory=list)
    """Numbers and people, as they came in the feed, which is read once."""
    telling: set[str] = field(default_factory=set)
    told: set[str] = field(default_factory=set)

    @property
    def people(self) -> set[str]:
        """Whom it executes."""
        return {name for one in self.lists.values() for name in one.people}

    @property
    def doubted(self) -> set[str]:
        """Who was in its hands and whom it did not live to write down."""
        return {name for one in self.lists.values() for name in one.doubted} - self.people

    @property
    def may_have_missed(self) -> bool:
        """Whether a list was asked for more than once, so that nobody may have read what was written out."""
        return any(one.asked > 1 for one in self.lists.values())


@dataclass
class Taken:
    """All of it, by campaign."""

    runs: dict[int, TakenRun] = field(default_factory=lambda: defaultdict(TakenRun))
    refused: list[str] = field(default_factory=list)


def read_pulled(path: Path) -> Taken:
    """What a service wrote down."""
    taken = Taken()
    campaigns: dict[int, int] = {}
    with path.open(encoding="utf-8") as lines:
        for line in lines:
            note = json.loads(line)
            if note["what"] == "asked":
                campaigns[note["list"]] = note["campaign"]
            if note["what"] == "refused":
                taken.refused.append(note["why"])
            else:
                _take_note(taken.runs[note.get("campaign") or campaigns[note["list"]]], note)
    return taken


def _take_note(run: TakenRun, note: Mapping[str, Any]) -> None:
    match note["what"]:
        case "noticed":
            run.is_noticed = True
        case "asked":
            one = run.lists.setdefault(note["list"], TakenList())
            one.asked_ns, one.asked = note["at_ns"], one.asked + 1
        case "taken":
            run.lists[note["list"]].people.update(note["people"])
        case "doubted":
            run.lists[note["list"]].doubted.update(note["people"])
        case "revoked":
            run.revoked.append((note["number"], note["person"]))
        case "telling":
            run.telling.update(note["people"])
        case "told":
            run.told.update(note["people"])
        case unknown:
            raise ValueError(f"The service's ledger has a note of {unknown!r}, which this verdict cannot weigh.")
