"""What all pages of a brand's settings share: which there are, and who sees which."""

from typing import Any

import msgspec
from litestar import Response

from stentor.accounts.roles import Permission
from stentor.console.brand import HERE, BrandDoor, Place
from stentor.console.visits import AnyRequest
from stentor.errors import Problem

SETTINGS = f"{HERE}/settings"


class Section(msgspec.Struct, frozen=True):
    """A page of the settings: the last part of its address, what a reader calls it, and what it takes to see it."""

    name: str
    label: str
    permission: Permission = "read"


SECTIONS = (
    Section("", "Brand"),
    Section("rules", "Caps and quiet hours"),
    Section("limits", "Limits"),
    Section("retention", "Retention"),
    Section("senders", "Senders"),
    Section("test-recipients", "Test recipients"),
    Section("integration", "Integration"),
    Section("developer", "Developer tools"),
    Section("usage", "Usage"),
    Section("audit", "Audit log", "admin"),
)


def settings_page(
    door: BrandDoor,
    request: AnyRequest,
    template: str,
    place: Place,
    *,
    section: str,
    problem: Problem | None = None,
    **facts: Any,
) -> Response[str]:
    """A page of the settings, with the others that this reader may open beside it."""
    organisation_id = place.brand.organisation_id
    return door.page(
        request,
        f"settings/{template}",
        place,
        tab="settings",
        here=f"{place.root}/settings",
        problem=problem,
        section=section,
        sections=[each for each in SECTIONS if place.may(each.permission)],
        organisation_id=organisation_id if place.who.role(organisation_id) else None,
        may_admin=place.may("admin"),
        **facts,
    )
