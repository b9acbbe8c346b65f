"""Customers of a group: the people, their addresses and attributes."""

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

import msgspec
from msgspec import UNSET, Meta, UnsetType

from stentor.api.channels import ChannelName, names_in
from stentor.api.groups import group_noun
from stentor.api.operation import Reply
from stentor.api.paging import Listing, ListQuery, Walk, listing, searched_listing
from stentor.api.request import ApiRequest, Caller
from stentor.api.strict_json import below
from stentor.audience.customers import PEOPLE_MAX
from stentor.audience.finding import SEARCH_CHARS_MAX, Wanted
from stentor.audience.intake import PUSH_TOKEN_CHARS_MAX, PUSH_TOKENS_MAX
from stentor.audience.model import Customer, CustomerPatch, Upserted
from stentor.domain.address import ADDRESS_CHARS_MAX
from stentor.domain.ids import EXTERNAL_ID_BYTES_MAX
from stentor.domain.locale import LOCALE_CHARS_MAX, TIME_ZONE_CHARS_MAX
from stentor.domain.vocabulary import ChannelKind
from stentor.errors import Conflict, Invalid, TooLarge, Violation

customers = group_noun(
    "customers",
    "The people of a group, by your own `external_id`, which never changes. Many at once come in by an import.",
)

ExternalId = Annotated[
    str, Meta(min_length=1, max_length=EXTERNAL_ID_BYTES_MAX, description="Your id of the person; at most 255 bytes.")
]
Email = Annotated[str, Meta(max_length=ADDRESS_CHARS_MAX)] | None
Phone = (
    Annotated[str, Meta(max_length=ADDRESS_CHARS_MAX, description="E.164, or as the group's country writes numbers.")]
    | None
)
PushTokens = Annotated[
    list[Annotated[str, Meta(max_length=PUSH_TOKEN_CHARS_MAX)]] | None, Meta(description=f"At most {PUSH_TOKENS_MAX}.")
]
Locale = Annotated[str, Meta(max_length=LOCALE_CHARS_MAX, description="BCP 47.")] | None
TimeZone = Annotated[str, Meta(max_length=TIME_ZONE_CHARS_MAX, description="As `Europe/Berlin`.")] | None
Attributes = Annotated[
    dict[str, Any] | None,
    Meta(description="Merged by name at the top level; a null among them removes that one. At most 64 KiB."),
]


class CustomerChanges(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What is said of one person: a field that is left out stays, null takes it away."""

    email: Email | UnsetType = UNSET
    phone: Phone | UnsetType = UNSET
    push_tokens: PushTokens | UnsetType = UNSET
    locale: Locale | UnsetType = UNSET
    time_zone: TimeZone | UnsetType = UNSET
    attributes: Attributes | UnsetType = UNSET


class CustomerInput(CustomerChanges, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One person, made or changed."""

    external_id: ExternalId


class CustomersInput(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Several people, made or changed: all of them or none."""

    customers: Annotated[list[CustomerInput], Meta(min_length=1, max_length=PEOPLE_MAX)]


class CustomerQuery(ListQuery, frozen=True, kw_only=True):
    """Which customers; all of them where nothing is said."""

    search: (
        Annotated[
            str,
            Meta(
                min_length=1,
                max_length=SEARCH_CHARS_MAX,
                description="An external id or id, an e-mail address, a phone number, or a part of the first and last name.",
            ),
        ]
        | None
    ) = None
    tag: Annotated[UUID, Meta(description="Of a profile tag.")] | None = None
    channel: Annotated[ChannelName, Meta(description="Only whom it reaches.")] | None = None


class CustomerBody(msgspec.Struct, frozen=True, kw_only=True):
    """A person as stored."""

    id: UUID
    external_id: str
    email: str | None
    phone: str | None
    push_tokens: list[str]
    locale: str | None
    time_zone: str | None
    attributes: dict[str, Any]
    reachable_on: Annotated[list[ChannelName], Meta(description="Channels with a usable address; some need none.")]
    agreed: Annotated[list[ChannelName], Meta(description="Channels whose flag is yes.")]
    refused: Annotated[list[ChannelName], Meta(description="Channels whose flag is no: nothing goes out there.")]
    bounced: Annotated[list[ChannelName], Meta(description="Channels whose address was refused for good.")]
    complained: Annotated[list[ChannelName], Meta(description="Channels on which the person complained.")]
    break_until: Annotated[
        datetime | None, Meta(description="Until then they asked for no messages; what needs no consent is sent.")
    ]
    created_at: datetime
    updated_at: datetime


class CustomerResult(CustomerBody, frozen=True, kw_only=True):
    """A person, what became of it now, and what of the request is kept but of no use."""

    fate: Literal["added", "changed", "unchanged"]
    warnings: tuple[Violation, ...]


class CustomersResult(msgspec.Struct, frozen=True):
    """Several people, in the order of the request."""

    data: list[CustomerResult]


_EXAMPLE = {
    "external_id": "crm-77",
    "email": "aino@example.org",
    "phone": "+358401112222",
    "locale": "fi-FI",
    "time_zone": "Europe/Helsinki",
    "attributes": {"first_name": "Aino", "tier": "gold"},
}
_CHANGES = {name: value for name, value in _EXAMPLE.items() if name != "external_id"}


def shown(customer: Customer) -> CustomerBody:
    """The person as the API answers it."""
    return CustomerBody(**_fields(customer))


@customers.get("/customers", scope="read")
async def list_customers(request: ApiRequest, caller: Caller, query: CustomerQuery) -> Listing[CustomerBody]:
    """List the group's customers, in no order that means anything, or those who are searched for.

    A search by name, or for a channel, reads people for two seconds at the most: its page may be short, or empty, while
    `next_cursor` leads on to the rest.
    """
    if query.search is not None or query.tag is not None or query.channel is not None:
        return await _searched(request, caller, query)

    async def fetch(after: UUID | None, limit: int) -> list[Customer]:
        return await request.services.customers.page(caller.brand_id, after=after, limit=limit)

    return await listing(request, query, Walk(fetch, lambda customer: customer.customer_id, UUID), shown)


@customers.post(
    "/customers", scope="write", status=201, problems=[Conflict], example=_EXAMPLE, also=(200, CustomerResult)
)
async def upsert_customer(request: ApiRequest, caller: Caller, body: CustomerInput) -> Reply[CustomerResult]:
    """Make or change a customer.

    201 when the person is new, 200 otherwise. An address that is none is kept and warned of, and messages to it are skipped as
    `invalid_address`.
    """
    return _upserted(
        await request.services.customers.upsert(caller.brand_id, _patch(body.external_id, body), region=_region(caller))
    )


@customers.patch(
    "/customers",
    scope="write",
    problems=[Conflict, TooLarge],
    example={"customers": [_EXAMPLE, {"external_id": "crm-78"}]},
)
async def upsert_customers(request: ApiRequest, caller: Caller, body: CustomersInput) -> CustomersResult:
    """Make or change up to 1,000 customers: all of them or none."""
    patches = [_patch(one.external_id, one) for one in body.customers]
    try:
        results = await request.services.customers.upsert_many(caller.brand_id, patches, region=_region(caller))
    except Invalid as error:
        raise below("/customers", error) from None
    return CustomersResult([_result(result) for result in results])


@customers.get("/customers/{external_id:str}", scope="read")
async def get_customer(request: ApiRequest, caller: Caller, external_id: str) -> CustomerBody:
    """Show a customer."""
    return shown(await request.services.customers.get(caller.brand_id, external_id))


@customers.patch(
    "/customers/{external_id:str}", scope="write", problems=[Conflict], example=_CHANGES, also=(201, CustomerResult)
)
async def update_customer(
    request: ApiRequest, caller: Caller, external_id: str, body: CustomerChanges
) -> Reply[CustomerResult]:
    """Make or change the customer of that external id."""
    return _upserted(
        await request.services.customers.upsert(caller.brand_id, _patch(external_id, body), region=_region(caller))
    )


async def _searched(request: ApiRequest, caller: Caller, query: CustomerQuery) -> Listing[CustomerBody]:
    if query.tag is not None:
        await request.services.tags.find(caller.brand_id, query.tag)
    wanted = Wanted(
        text=query.search or "",
        tag_id=query.tag,
        channel=None if query.channel is None else ChannelKind.named(query.channel),
    )

    async def find(after: UUID | None, limit: int) -> tuple[list[Customer], UUID | None]:
        found = await request.services.finder.find(
            caller.brand_id, wanted, region=_region(caller), after=after, limit=limit
        )
        return found.people, found.behind

    return await searched_listing(request, query, find, shown, kind=UUID)


def _patch(external_id: str, changes: CustomerChanges) -> CustomerPatch:
    return CustomerPatch(
        external_id=external_id,
        email=changes.email,
        phone=changes.phone,
        push_tokens=changes.push_tokens,
        locale=changes.locale,
        time_zone=changes.time_zone,
        attributes=changes.attributes,
    )


def _region(caller: Caller) -> str | None:
    return caller.brand.settings.default_country


def _upserted(result: Upserted) -> Reply[CustomerResult]:
    return Reply(_result(result), status=201 if result.fate == "added" else 200)


def _result(result: Upserted) -> CustomerResult:
    return CustomerResult(fate=result.fate.value, warnings=result.warnings, **_fields(result.customer))


def _fields(customer: Customer) -> dict[str, Any]:
    return {
        "id": customer.customer_id,
        "external_id": customer.external_id,
        "email": customer.email,
        "phone": customer.phone,
        "push_tokens": customer.push_tokens,
        "locale": customer.locale,
        "time_zone": customer.time_zone,
        "attributes": customer.attributes,
        "reachable_on": names_in(customer.valid_mask),
        "agreed": names_in(customer.agreed_mask),
        "refused": names_in(customer.refused_mask),
        "bounced": names_in(customer.bounced_mask),
        "complained": names_in(customer.complained_mask),
        "break_until": customer.break_until,
        "created_at": customer.created_at,
        "updated_at": customer.updated_at,
    }
