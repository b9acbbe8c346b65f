"""The native API's root: everything of one brand lies under `/v1/groups/{group_id}`."""

from stentor.api.auth import group_access
from stentor.api.noun import Noun
from stentor.api.rates import pace

PREFIX = "/v1/groups/{group_id:str}"


def group_noun(tag: str, about: str) -> Noun:
    """A noun under a group, open to keys that may act for it, as often as the group's limits let them."""
    return Noun(tag, about, prefix=PREFIX, access=group_access, pace=pace)
