"""What still goes by a tag or a segment, so that neither is taken away from under it."""

from uuid import UUID

from psycopg.types.json import Jsonb

from stentor.audience.segments.model import Use
from stentor.db.connection import Connection
from stentor.db.sql import QuerySet, Statement
from stentor.executions.audiences import Audience, OfSegment, OfTag

USES_SHOWN_MAX = 100
_NAMED = 3


class Sql(QuerySet, file="uses.sql", package=__package__):
    uses_of_audience: Statement
    segments_by_tag: Statement
    campaigns_by_tag: Statement


async def segment_uses(conn: Connection, brand_id: UUID, segment_id: UUID) -> list[Use]:
    """The schedules that will run for the segment, and the executions that wait for its people: the first `USES_SHOWN_MAX`."""
    return await _uses(conn, brand_id, OfSegment(segment_id))


async def needed_tag(conn: Connection, brand_id: UUID, tag_id: UUID) -> str | None:
    """Why the tag cannot go yet: segments or routes name it, or runs for its people are to come. None where nothing does.

    Without the tag, who has it would be nobody: a segment that leaves its people out would let all of them in.
    """
    uses = await Sql.segments_by_tag.rows(conn, Use, brand_id=brand_id, tag_id=tag_id, limit=USES_SHOWN_MAX)
    uses += await Sql.campaigns_by_tag.rows(conn, Use, brand_id=brand_id, tag_id=tag_id, limit=USES_SHOWN_MAX)
    uses += await _uses(conn, brand_id, OfTag(tag_id))
    if not uses:
        return None
    named = ", ".join(f"the {use.kind} {use.name or use.id!s}" for use in uses[:_NAMED])
    more = f" and {len(uses) - _NAMED} more" if len(uses) > _NAMED else ""
    return f"The profile tag is used by {named}{more}. Change or cancel them first."


async def _uses(conn: Connection, brand_id: UUID, audience: Audience) -> list[Use]:
    return await Sql.uses_of_audience.rows(conn, Use, brand_id=brand_id, audience=Jsonb(audience), limit=USES_SHOWN_MAX)
