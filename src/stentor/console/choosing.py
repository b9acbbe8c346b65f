"""What selects of the console offer: the brand's own things, by name."""

from collections.abc import Awaitable, Callable, Collection, Sequence
from typing import TypeAlias, TypeVar
from uuid import UUID

from stentor.audience.segments.service import SegmentService
from stentor.audience.tags import TagService
from stentor.audience.topics import TopicService
from stentor.campaigns.model import Campaign
from stentor.campaigns.service import PAGE_MAX, CampaignService

OFFERED_MAX = 1000
"""Things of a kind that a select offers. One that is not among them keeps its place where it was chosen already."""

Offered: TypeAlias = Sequence[tuple[str, str]]

_Thing = TypeVar("_Thing")


class Chooser:
    """Looks up what there is to choose from."""

    def __init__(
        self, segments: SegmentService, tags: TagService, topics: TopicService, campaigns: CampaignService
    ) -> None:
        self._looks: dict[str, Callable[[UUID], Awaitable[Offered]]] = {
            "segments": self._segments_of,
            "tags": self._tags_of,
            "topics": self._topics_of,
            "campaigns": self._campaigns_of,
        }
        self._segments = segments
        self._tags = tags
        self._topics = topics
        self._campaigns = campaigns

    async def choices(self, brand_id: UUID, nouns: Collection[str]) -> dict[str, Offered]:
        """By noun, an id and a name of each thing that the brand has of it, in the order of their names."""
        return {
            noun: sorted(await self._looks[noun](brand_id), key=lambda one: one[1].casefold()) for noun in sorted(nouns)
        }

    async def _segments_of(self, brand_id: UUID) -> Offered:
        return [(str(one.id), one.name) for one in await self._segments.page(brand_id, limit=OFFERED_MAX)]

    async def _tags_of(self, brand_id: UUID) -> Offered:
        return [(str(one.id), one.name) for one in await self._tags.page(brand_id, before=None, limit=OFFERED_MAX)]

    async def _topics_of(self, brand_id: UUID) -> Offered:
        return [(str(one.id), one.name) for one in await self._topics.page(brand_id, limit=OFFERED_MAX)]

    async def runnable(self, brand_id: UUID) -> list[tuple[str, str]]:
        """The campaigns that are published themselves, as `choices`."""
        found = [
            (str(one.id), one.name)
            for one in await self._all_campaigns(brand_id)
            if one.kind != "api_triggered" and one.publication_id is not None
        ]
        return sorted(found, key=lambda one: one[1].casefold())

    async def _campaigns_of(self, brand_id: UUID) -> Offered:
        return [(str(one.id), one.name) for one in await self._all_campaigns(brand_id)]

    async def _all_campaigns(self, brand_id: UUID) -> list[Campaign]:
        async def fetch(after: UUID | None) -> list[Campaign]:
            return await self._campaigns.page(brand_id, after=after, limit=PAGE_MAX)

        return await all_pages(fetch, lambda one: one.id, PAGE_MAX)


async def all_pages(
    fetch: Callable[[UUID | None], Awaitable[Sequence[_Thing]]], key: Callable[[_Thing], UUID], page_max: int
) -> list[_Thing]:
    """All things of pages that go on behind an id, `OFFERED_MAX` at most."""
    found: list[_Thing] = []
    while len(found) < OFFERED_MAX:
        page = await fetch(key(found[-1]) if found else None)
        found += page
        if len(page) < page_max:
            break
    return found[:OFFERED_MAX]
