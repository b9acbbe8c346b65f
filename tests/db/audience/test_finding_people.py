"""Looking for people by whatever somebody knows of them."""

from typing import Any
from uuid import UUID

import pytest

from stentor.audience.customers import CustomerService
from stentor.audience.finding import SEARCH_CHARS_MAX, Found, PersonFinder, Wanted
from stentor.audience.model import CustomerPatch
from stentor.audience.tags import TagService
from stentor.db.pool import Database
from stentor.domain.vocabulary import ChannelKind
from stentor.erasures.merging import MergeService

pytestmark = pytest.mark.anyio


class Desk:
    """A brand's people, and somebody who looks for them."""

    def __init__(self, db: Database, brand_id: UUID) -> None:
        self.db = db
        self.brand_id = brand_id
        self.finder = PersonFinder(db)

    async def look(self, text: str = "", after: UUID | None = None, limit: int = 10, **narrowed: Any) -> Found:
        wanted = Wanted(text=text, **narrowed)
        return await self.finder.find(self.brand_id, wanted, region="US", after=after, limit=limit)

    async def names(self, text: str = "", **narrowed: Any) -> set[str]:
        return {each.external_id for each in (await self.look(text, **narrowed)).people}


@pytest.fixture
async def desk(db: Database, brand_id: UUID, other_brand_id: UUID) -> Desk:
    people = [
        CustomerPatch(
            external_id="crm-1",
            email="aino@example.org",
            phone="+14155550142",
            attributes={"first_name": "Aino", "last_name": "O'Brien"},
        ),
        CustomerPatch(
            external_id="crm-2", email="bo@example.org", attributes={"first_name": "Bo", "last_name": "Ainoa"}
        ),
        CustomerPatch(external_id="Aino", phone="+358401112222"),
        CustomerPatch(external_id="nobody's"),
    ]
    await CustomerService(db).upsert_many(brand_id, people)
    await CustomerService(db).upsert_many(other_brand_id, people)
    return Desk(db, brand_id)


async def test_an_id_and_an_address_in_any_usual_writing_lead_to_the_person(desk: Desk):
    (person,) = (await desk.look("crm-1")).people

    for text in (
        str(person.customer_id),
        f" {person.customer_id.hex} ",
        "aino@EXAMPLE.org",
        "+1 (415) 555-0142",
        "415-555-0142",
        "o'brien",
    ):
        assert await desk.names(text) == {"crm-1"}, text
    assert await desk.names("aino") == {"crm-1", "crm-2"}
    # An id comes first, and those of that name after it.
    assert (await desk.look("Aino")).people[0].external_id == "Aino"
    assert await desk.names("Aino") == {"Aino", "crm-1", "crm-2"}
    assert await desk.names() == {"crm-1", "crm-2", "Aino", "nobody's"}


@pytest.mark.parametrize("text", ["crm-9", "\x00", "x" * (SEARCH_CHARS_MAX + 1), "%", "a_no", str(UUID(int=7))])
async def test_who_is_not_there_is_not_found(desk: Desk, text: str):
    assert await desk.look(text) == Found([], None)


async def test_somebody_merged_leads_to_the_one_they_are_now(desk: Desk):
    gone = (await desk.look("crm-2")).people[0].customer_id
    await MergeService(desk.db).merge(desk.brand_id, "crm-1", "crm-2", asked_by="key 1")

    assert await desk.names("crm-2") == await desk.names(str(gone)) == {"crm-1"}
    assert (await desk.finder.get(desk.brand_id, gone)).external_id == "crm-1"


async def test_people_are_narrowed_to_a_tag_and_a_channel(desk: Desk):
    tags = TagService(desk.db)
    tag = await tags.create(desk.brand_id, "Members")
    for each in ("crm-1", "Aino"):
        await tags.tag(desk.brand_id, tag.id, each)
    email = ChannelKind.EMAIL

    assert await desk.names(tag_id=tag.id) == {"crm-1", "Aino"}
    assert await desk.names(channel=email) == {"crm-1", "crm-2"}
    assert await desk.names(tag_id=tag.id, channel=email) == {"crm-1"}
    assert await desk.names("Aino", tag_id=tag.id, channel=email) == {"crm-1"}
    assert await desk.names("bo@example.org", tag_id=tag.id) == set()
    (person,) = (await desk.look("crm-1")).people
    assert [each.name for each in await desk.finder.tags(desk.brand_id, person.customer_id)] == ["Members"]


async def test_a_page_goes_on_behind_its_last_person(desk: Desk):
    seen: list[str] = []
    after: UUID | None = None
    while True:
        found = await desk.look("aino", after=after, limit=1)
        seen += [each.external_id for each in found.people]
        if (after := found.behind) is None:
            break

    assert sorted(seen) == ["crm-1", "crm-2"]


async def test_a_search_by_name_goes_on_where_its_time_was_up(desk: Desk):
    found = await desk.finder.find(desk.brand_id, Wanted(text="ainoa"), region=None, after=None, limit=10, within_s=0.0)

    # Fewer people than are read at a time are read in any case.
    assert ([each.external_id for each in found.people], found.behind) == (["crm-2"], None)
