"""All HTTP doors beside the native API: the wire families, the pages, the console."""

from collections.abc import Sequence

from stentor.api.app import Door
from stentor.api.services import Services


def doors(_services: Services) -> Sequence[Door]:
    """The doors over these services, each with the way it writes errors down."""
    return ()
