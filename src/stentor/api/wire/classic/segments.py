"""Value segments, which there are none of: nothing here reckons what people are worth."""

from datetime import date

from stentor.api.wire.classic.listing import WithAttributes
from stentor.api.wire.classic.reading import Query
from stentor.api.wire.classic.registry import Category

segments = Category("segments")


class OfValueSegment(Query, frozen=True, kw_only=True):
    value_segment_id: int


class OfValueSegmentName(Query, frozen=True, kw_only=True):
    value_segment_name: str


class OfValueSegmentAndDay(WithAttributes, frozen=True, kw_only=True):
    value_segment_id: int
    date: date


class OfChange(WithAttributes, frozen=True, kw_only=True):
    """Between two days; newer clients name none."""

    start_date: date | None = None
    end_date: date | None = None


segments.empty("GetValueSegments")
segments.unknown("GetValueSegmentName", OfValueSegment)
segments.unknown("GetValueSegmentID", OfValueSegmentName)
segments.empty("GetCustomersByValueSegment", OfValueSegmentAndDay)
segments.empty("GetValueSegmentChangers", OfChange)
