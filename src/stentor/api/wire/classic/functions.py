"""All functions of this family, by category."""

from collections.abc import Mapping

from stentor.api.wire.classic import clearing, reports  # noqa: F401  what partners clear and report, in two of the categories
from stentor.api.wire.classic.actions import actions
from stentor.api.wire.classic.general import general
from stentor.api.wire.classic.groups import groups
from stentor.api.wire.classic.integrations import integrations
from stentor.api.wire.classic.model import model
from stentor.api.wire.classic.paths import Target
from stentor.api.wire.classic.pulls import customers
from stentor.api.wire.classic.registry import Category, Function, Verb
from stentor.api.wire.classic.segments import segments

CATEGORIES: Mapping[str, Category] = {
    each.name: each for each in (general, integrations, customers, actions, groups, model, segments)
}


def functions_at(target: Target) -> dict[Verb, Function]:
    """The functions at that path, by verb; none where there is no such thing."""
    return CATEGORIES[target.category].by_verb(target)
