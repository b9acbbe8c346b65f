"""The pages of a brand: where each is, what a reader calls it, and in which group it stands at the side of every page."""

from collections.abc import Sequence
from uuid import UUID

import msgspec

from stentor.accounts.model import Brand
from stentor.accounts.roles import Role
from stentor.accounts.user_model import SignedIn

_OTHERS_MAX = 12
"""Other brands of the organisation that the side leads to at once; the rest stand on the page of all."""

BUILT = {
    "home",
    "executions",
    "calendar",
    "campaigns",
    "schedules",
    "generators",
    "catalogue",
    "customers",
    "segments",
    "topics",
    "optouts",
    "templates",
    "imports",
    "partners",
    "inbox",
    "settings",
}
"""Entries whose page is there. One that is not is left out of the side."""

SEARCH = ("customers", "search")
"""Where the field at the top of each page looks for people: the entry, and the name under which it sends what was typed."""


class Entry(msgspec.Struct, frozen=True):
    """A page: `name` is the last part of its address, and the tab that its pages say they are under."""

    name: str
    label: str
    icon: str

    @property
    def is_built(self) -> bool:
        """Whether there is something to lead to."""
        return self.name in BUILT

    def href(self, brand_id: UUID) -> str:
        """Where it is for that brand."""
        if self.name == "home":
            return f"/console/brands/{brand_id}"
        if self.name == "inbox":
            return f"/inbox/{brand_id}"
        return f"/console/brands/{brand_id}/{self.name}"


class Group(msgspec.Struct, frozen=True):
    """Pages that belong together; the first group and the last go without a name."""

    label: str
    entries: tuple[Entry, ...]


GROUPS = (
    Group(
        "",
        (
            Entry("home", "Home", "home"),
            Entry("executions", "Executions", "pulse"),
            Entry("calendar", "Calendar", "calendar"),
        ),
    ),
    Group(
        "Messages",
        (
            Entry("campaigns", "Campaigns", "horn"),
            Entry("schedules", "Schedules", "clock"),
            Entry("generators", "Event generators", "bolt"),
            Entry("templates", "Templates", "doc"),
            Entry("catalogue", "Catalogue", "book"),
        ),
    ),
    Group(
        "People",
        (
            Entry("customers", "Customers", "people"),
            Entry("segments", "Segments", "segment"),
            Entry("imports", "Imports", "upload"),
            Entry("topics", "Preference Centre", "sliders"),
            Entry("optouts", "Opt-out lists", "block"),
        ),
    ),
    Group(
        "Delivery",
        (
            Entry("partners", "Integrations", "plug"),
            Entry("inbox", "Sandbox inbox", "inbox"),
        ),
    ),
    Group("", (Entry("settings", "Settings", "gear"),)),
)

TABS = {entry.name: entry.label for group in GROUPS for entry in group.entries}
"""What each page is called, by its name."""


class Search(msgspec.Struct, frozen=True):
    """A field that looks for people: the page that answers, and what it is sent as."""

    action: str
    field: str


class Side(msgspec.Struct, frozen=True):
    """What stands at the side of a brand's pages, with the page of `tab` marked."""

    brand: Brand
    role: Role | None
    others: Sequence[Brand]
    tab: str
    groups: Sequence[Group]
    search: Search | None

    @property
    def label(self) -> str:
        """What the page is called."""
        return TABS.get(self.tab, "")


def side_of(who: SignedIn, brand: Brand, neighbours: Sequence[Brand], tab: str) -> Side:
    """The side for this reader. `neighbours` are all brands of the organisation, of which they see those that are theirs to see."""
    others = [one for one in neighbours if one.id != brand.id and who.may("read", one.organisation_id, one.id)]
    built = [Group(group.label, tuple(entry for entry in group.entries if entry.is_built)) for group in GROUPS]
    page, field = SEARCH
    return Side(
        brand,
        who.role(brand.organisation_id, brand.id),
        others[:_OTHERS_MAX],
        tab,
        [group for group in built if group.entries],
        Search(f"/console/brands/{brand.id}/{page}", field) if page in BUILT else None,
    )
