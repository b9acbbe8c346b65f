"""Customers: what a caller says of them is merged into what is known."""

import asyncio
from uuid import UUID

import pytest

from stentor.audience.customers import PEOPLE_MAX, CustomerService
from stentor.audience.model import Customer, CustomerPatch, Fate
from stentor.db.pool import Database
from stentor.domain.address import ADDRESSLESS_CHANNELS, EMAIL_CHANNELS, PHONE_CHANNELS, TOKEN_CHANNELS, email_digest
from stentor.domain.ids import customer_id
from stentor.domain.vocabulary import ChannelKind
from stentor.errors import Invalid, NotFound, TooLarge

pytestmark = pytest.mark.anyio

ANN = CustomerPatch(
    external_id="ann",
    email="Ann@Example.COM",
    phone="+1 415 555 0123",
    push_tokens=["fcm-1", "fcm-2"],
    locale="en_us",
    time_zone="europe/berlin",
    attributes={"first_name": "Ann", "visits": 3, "tags": ["a", "b"]},
)


async def owners(db: Database, brand_id: UUID) -> dict[bytes, set[UUID]]:
    async with db.read() as conn:
        cursor = await conn.execute("SELECT digest, customers FROM address_owner WHERE brand_id = %s", [brand_id])
        return {digest: set(customers) for digest, customers in await cursor.fetchall()}


async def test_a_new_customer_is_stored_in_normal_form(customers: CustomerService, brand_id: UUID):
    made = await customers.upsert(brand_id, ANN)

    stored = await customers.get(brand_id, "ann")
    assert made.fate is Fate.ADDED
    assert made.warnings == ()
    assert made.customer == stored
    assert stored == Customer(
        customer_id=customer_id(brand_id, "ann"),
        external_id="ann",
        email="Ann@example.com",
        phone="+14155550123",
        push_tokens=["fcm-1", "fcm-2"],
        locale="en-US",
        time_zone="Europe/Berlin",
        attributes={"first_name": "Ann", "visits": 3, "tags": ["a", "b"]},
        address_mask=EMAIL_CHANNELS | PHONE_CHANNELS | TOKEN_CHANNELS | ADDRESSLESS_CHANNELS,
        valid_mask=EMAIL_CHANNELS | PHONE_CHANNELS | TOKEN_CHANNELS | ADDRESSLESS_CHANNELS,
        agreed_mask=0,
        refused_mask=0,
        bounced_mask=0,
        complained_mask=0,
        shared_address=False,
        break_until=None,
        created_at=stored.created_at,
        updated_at=stored.created_at,
    )


async def test_what_is_not_said_is_kept_and_null_takes_away(customers: CustomerService, brand_id: UUID):
    await customers.upsert(brand_id, ANN)

    changed = await customers.upsert(brand_id, CustomerPatch(external_id="ann", phone=None, locale="de"))

    customer = changed.customer
    assert changed.fate is Fate.CHANGED
    assert (customer.email, customer.phone, customer.locale) == ("Ann@example.com", None, "de")
    assert customer.push_tokens == ["fcm-1", "fcm-2"]
    assert customer.time_zone == "Europe/Berlin"
    assert customer.attributes == ANN.attributes
    assert customer.address_mask == customer.valid_mask == EMAIL_CHANNELS | TOKEN_CHANNELS | ADDRESSLESS_CHANNELS
    assert customer.updated_at > customer.created_at


async def test_attributes_are_merged_by_name(customers: CustomerService, brand_id: UUID):
    await customers.upsert(brand_id, ANN)

    patch = CustomerPatch(external_id="ann", attributes={"visits": 4, "tags": None, "seat": {"row": 1, "block": None}})
    merged = await customers.upsert(brand_id, patch)
    cleared = await customers.upsert(brand_id, CustomerPatch(external_id="ann", attributes=None))

    assert merged.customer.attributes == {"first_name": "Ann", "visits": 4, "seat": {"row": 1, "block": None}}
    assert cleared.customer.attributes == {}


async def test_a_new_customer_keeps_no_null_attributes(customers: CustomerService, brand_id: UUID):
    made = await customers.upsert(brand_id, CustomerPatch(external_id="ann", attributes={"a": None, "b": 1}))

    assert made.customer.attributes == {"b": 1}


async def test_saying_the_same_again_changes_nothing(customers: CustomerService, brand_id: UUID):
    before = (await customers.upsert(brand_id, ANN)).customer

    again = await customers.upsert(brand_id, ANN)
    nothing = await customers.upsert(brand_id, CustomerPatch(external_id="ann"))

    assert (again.fate, nothing.fate) == (Fate.UNCHANGED, Fate.UNCHANGED)
    assert again.customer == nothing.customer == before


async def test_an_address_that_is_none_is_kept_marked_and_warned_of(customers: CustomerService, brand_id: UUID):
    made = await customers.upsert(brand_id, CustomerPatch(external_id="ann", email="ann@nowhere", phone="12\x00"))

    customer = made.customer
    assert (customer.email, customer.phone) == ("ann@nowhere", "12\ufffd")
    assert customer.address_mask == EMAIL_CHANNELS | PHONE_CHANNELS | ADDRESSLESS_CHANNELS
    assert customer.valid_mask == ADDRESSLESS_CHANNELS
    assert [(warning.pointer, warning.code) for warning in made.warnings] == [
        ("/email", "invalid-email"),
        ("/phone", "invalid-phone"),
    ]


async def test_a_national_number_belongs_to_the_region(customers: CustomerService, brand_id: UUID):
    made = await customers.upsert(brand_id, CustomerPatch(external_id="ann", phone="0171 1234567"), region="DE")

    assert made.customer.phone == "+491711234567"


async def test_a_changed_address_starts_clean_on_its_channels(customers: CustomerService, db: Database, brand_id: UUID):
    everywhere = ChannelKind.EMAIL.bit | ChannelKind.SMS.bit
    await customers.upsert(brand_id, ANN)
    async with db.transaction() as conn:
        await conn.execute("UPDATE customer SET bounced_mask = %s, complained_mask = %s", [everywhere, everywhere])

    same_but_for_case = await customers.upsert(brand_id, CustomerPatch(external_id="ann", email="ANN@example.com"))
    other = await customers.upsert(brand_id, CustomerPatch(external_id="ann", email="ann@example.org"))

    assert same_but_for_case.customer.bounced_mask == everywhere
    assert other.customer.bounced_mask == ChannelKind.SMS.bit
    assert other.customer.complained_mask == ChannelKind.SMS.bit


@pytest.mark.fault("S13")
async def test_text_about_a_nul_is_no_nul(customers: CustomerService, brand_id: UUID):
    made = await customers.upsert(brand_id, CustomerPatch(external_id="ann", attributes={"a": "\\u0000"}))

    assert made.customer.attributes == {"a": "\\u0000"}


async def test_what_breaks_a_rule_is_refused_with_its_place(customers: CustomerService, brand_id: UUID):
    with pytest.raises(Invalid) as refused:
        await customers.upsert(brand_id, CustomerPatch(external_id="ann", locale="english"))

    assert [violation.pointer for violation in refused.value.violations] == ["/locale"]


async def test_attributes_cannot_grow_without_end_by_merging(customers: CustomerService, brand_id: UUID):
    await customers.upsert(brand_id, CustomerPatch(external_id="ann", attributes={"a": "x" * 60_000}))

    with pytest.raises(Invalid, match="Remove some"):
        await customers.upsert(brand_id, CustomerPatch(external_id="ann", attributes={"b": "x" * 60_000}))


async def test_many_are_stored_in_the_order_given_and_one_said_twice_is_one(customers: CustomerService, brand_id: UUID):
    patches = [
        CustomerPatch(external_id="bob", locale="de", attributes={"a": 1, "b": 1}),
        CustomerPatch(external_id="ann", email="nobody"),
        CustomerPatch(external_id="bob", locale="fr", phone="+14155550123", attributes={"a": None, "c": 1}),
    ]

    stored = await customers.upsert_many(brand_id, patches)

    assert [upserted.customer.external_id for upserted in stored] == ["bob", "ann", "bob"]
    assert [upserted.fate for upserted in stored] == [Fate.ADDED, Fate.ADDED, Fate.UNCHANGED]
    assert [len(upserted.warnings) for upserted in stored] == [0, 1, 0]
    bob = stored[0].customer
    assert (bob.locale, bob.phone, bob.attributes) == ("fr", "+14155550123", {"b": 1, "c": 1})


async def test_one_bad_customer_among_many_refuses_all(customers: CustomerService, brand_id: UUID):
    patches = [CustomerPatch(external_id="ann"), CustomerPatch(external_id="bob", locale="english")]

    with pytest.raises(Invalid) as refused:
        await customers.upsert_many(brand_id, patches)

    assert refused.value.violations[0].pointer == "/1/locale"
    with pytest.raises(NotFound):
        await customers.get(brand_id, "ann")


async def test_a_request_has_at_most_a_thousand_customers(customers: CustomerService, brand_id: UUID):
    with pytest.raises(TooLarge):
        await customers.upsert_many(brand_id, [CustomerPatch(external_id=str(n)) for n in range(PEOPLE_MAX + 1)])


@pytest.mark.fault("S13")
async def test_an_external_id_may_hold_any_character_but_nul(customers: CustomerService, brand_id: UUID):
    strange = ["a\x1fb", "a\x1e\x1f", "'; DROP TABLE customer; --", "%s", "e\u0301", "\U0001f600", "\\N", "{a,b}"]

    await customers.upsert_many(brand_id, [CustomerPatch(external_id=text, email="a@example.com") for text in strange])

    for text in strange:
        assert (await customers.get(brand_id, text)).email == "a@example.com"
    assert (await customers.get(brand_id, "\u00e9")).external_id == "\u00e9"


async def test_a_customer_of_another_brand_is_as_absent_as_none(
    customers: CustomerService, brand_id: UUID, other_brand_id: UUID
):
    await customers.upsert(other_brand_id, ANN)

    with pytest.raises(NotFound) as foreign:
        await customers.get(brand_id, "ann")
    with pytest.raises(NotFound):
        await customers.get(brand_id, "")

    assert "ann" in foreign.value.detail
    assert await customers.page(brand_id) == []


async def test_a_list_goes_on_behind_the_last_customer(customers: CustomerService, brand_id: UUID):
    await customers.upsert_many(brand_id, [CustomerPatch(external_id=str(n)) for n in range(25)])

    pages: list[Customer] = []
    after: UUID | None = None
    while page := await customers.page(brand_id, after=after, limit=10):
        pages += page
        after = page[-1].customer_id

    assert [customer.customer_id for customer in pages] == sorted(customer_id(brand_id, str(n)) for n in range(25))


async def test_who_shares_an_address_is_marked_from_the_second_on(
    customers: CustomerService, db: Database, brand_id: UUID, other_brand_id: UUID
):
    await customers.upsert(brand_id, CustomerPatch(external_id="ann", email="home@example.com"))
    await customers.upsert(brand_id, CustomerPatch(external_id="eve", email="eve@example.com"))
    await customers.upsert(other_brand_id, CustomerPatch(external_id="ann", email="home@example.com"))
    alone = await customers.get(brand_id, "ann")

    await customers.upsert(brand_id, CustomerPatch(external_id="bob", email="HOME@example.com"))

    assert not alone.shared_address
    assert (await customers.get(brand_id, "ann")).shared_address
    assert (await customers.get(brand_id, "bob")).shared_address
    assert not (await customers.get(brand_id, "eve")).shared_address
    assert not (await customers.get(other_brand_id, "ann")).shared_address
    assert (await owners(db, brand_id))[email_digest("home@example.com")] == {
        customer_id(brand_id, "ann"),
        customer_id(brand_id, "bob"),
    }


async def test_people_of_one_set_who_share_an_address_are_all_marked(customers: CustomerService, brand_id: UUID):
    patches = [CustomerPatch(external_id=str(n), phone="+14155550123") for n in range(150)]

    await customers.upsert_many(brand_id, patches)

    assert all(customer.shared_address for customer in await customers.page(brand_id))


async def test_an_address_that_is_given_up_belongs_to_nobody(customers: CustomerService, db: Database, brand_id: UUID):
    await customers.upsert(brand_id, ANN)
    await customers.upsert(brand_id, CustomerPatch(external_id="bob", email="ann@example.com"))

    await customers.upsert(brand_id, CustomerPatch(external_id="ann", email="ann@example.org", phone=None))

    assert await owners(db, brand_id) == {
        email_digest("ann@example.com"): {customer_id(brand_id, "bob")},
        email_digest("ann@example.org"): {customer_id(brand_id, "ann")},
    }


async def test_two_people_may_swap_addresses_at_once(customers: CustomerService, db: Database, brand_id: UUID):
    one, two = "one@example.com", "two@example.com"
    await customers.upsert_many(
        brand_id, [CustomerPatch(external_id="ann", email=one), CustomerPatch(external_id="bob", email=two)]
    )

    await customers.upsert_many(
        brand_id, [CustomerPatch(external_id="ann", email=two), CustomerPatch(external_id="bob", email=one)]
    )

    assert await owners(db, brand_id) == {
        email_digest(one): {customer_id(brand_id, "bob")},
        email_digest(two): {customer_id(brand_id, "ann")},
    }


async def test_upserts_of_the_same_people_at_once_end_as_one_after_the_other(
    customers: CustomerService, db: Database, brand_id: UUID
):
    async def tell(turn: int) -> None:
        people = [str(n) for n in range(20)]
        order = people if turn % 2 else people[::-1]
        await customers.upsert_many(
            brand_id,
            [CustomerPatch(external_id=who, email=f"{(int(who) + turn) % 7}@example.com") for who in order],
        )

    await asyncio.gather(*(tell(turn) for turn in range(8)))

    stored = {customer.customer_id: customer for customer in await customers.page(brand_id)}
    owned = await owners(db, brand_id)
    assert len(stored) == 20
    for customer in stored.values():
        assert customer.email is not None
        assert customer.customer_id in owned[email_digest(customer.email)]
    assert sum(len(people) for people in owned.values()) == 20
    assert all(customer.shared_address for customer in stored.values())
