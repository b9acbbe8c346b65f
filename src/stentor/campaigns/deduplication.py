"""What a generator may say of calls that tell of the same event."""

import re

from stentor.campaigns.model import Deduplication
from stentor.errors import Invalid

FIELDS_MAX = 10
FIELD_CHARS_MAX = 200
WINDOW_S_MAX = 30 * 24 * 3600

_FIELD = re.compile(r"[^\x00-\x1f.\ud800-\udfff]+(\.[^\x00-\x1f.\ud800-\udfff]+)*")


def check_deduplication(said: Deduplication) -> None:
    """Raises Invalid for no field or more than ten, for one twice, and for a window that is not from a second to 30 days."""
    if not 1 <= len(said.fields) <= FIELDS_MAX or len(set(said.fields)) < len(said.fields):
        message = f"Name 1 to {FIELDS_MAX} different fields of the context."
        raise Invalid.field("/deduplication/fields", "fields", message)
    for place, field in enumerate(said.fields):
        if len(field) > FIELD_CHARS_MAX or not _FIELD.fullmatch(field):
            message = f"A field is a name of the context, as `match_id` or `match.id`, of at most {FIELD_CHARS_MAX} characters."
            raise Invalid.field(f"/deduplication/fields/{place}", "field", message)
    if not 1 <= said.window_s <= WINDOW_S_MAX:
        message = f"A window has 1 to {WINDOW_S_MAX} seconds."
        raise Invalid.field("/deduplication/window_s", "window", message)
