"""Test recipients of a group: where its test sends may go."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

import msgspec
from msgspec import Meta

from stentor.accounts.model import NAME_CHARS_MAX
from stentor.accounts.test_recipient_store import TestRecipient
from stentor.api.auth import live
from stentor.api.groups import group_noun
from stentor.api.paging import Listing, ListQuery, Walk, listing
from stentor.api.request import ApiRequest, Caller
from stentor.domain.address import ADDRESS_CHARS_MAX
from stentor.errors import Conflict, Invalid

_WHY = "Test recipients get messages for real, and codes by mail"

test_recipients = group_noun(
    "test-recipients",
    "Addresses of the group's own people, where its test sends may go, and nowhere else. An e-mail address is confirmed by a code "
    "that the installation mails to it; until then it gets messages from the sandbox alone.",
)

CODE_CHARS_MAX = 200


class TestRecipientInput(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """An address to be added."""

    address: Annotated[
        str,
        Meta(
            min_length=1,
            max_length=ADDRESS_CHARS_MAX,
            description="An e-mail address, or a phone number in E.164 or as the group's country writes numbers.",
        ),
    ]
    name: Annotated[str, Meta(max_length=NAME_CHARS_MAX, description="Whose it is.")] = ""


class ConfirmationInput(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The code of the letter."""

    code: Annotated[str, Meta(min_length=1, max_length=CODE_CHARS_MAX)]


class TestRecipientBody(msgspec.Struct, frozen=True, kw_only=True):
    """Where test sends may go."""

    id: UUID
    address: str
    name: str
    created_at: datetime
    confirmed_at: Annotated[
        datetime | None, Meta(description="Null: nobody has given back the code that was mailed to the address.")
    ]


def shown(recipient: TestRecipient) -> TestRecipientBody:
    """The test recipient as the API answers it."""
    return TestRecipientBody(
        id=recipient.id,
        address=recipient.address,
        name=recipient.name,
        created_at=recipient.created_at,
        confirmed_at=recipient.confirmed_at,
    )


@test_recipients.get("/test-recipients", scope="read")
async def list_test_recipients(request: ApiRequest, caller: Caller, query: ListQuery) -> Listing[TestRecipientBody]:
    """List the group's test recipients."""

    async def fetch(after: UUID | None, limit: int) -> list[TestRecipient]:
        return await request.services.test_recipients.page(caller.brand_id, after=after, limit=limit)

    return await listing(request, query, Walk(fetch, lambda recipient: recipient.id, UUID), shown)


@test_recipients.post(
    "/test-recipients",
    scope="admin",
    status=201,
    problems=[Invalid, Conflict],
    example={"address": "editor@example.org", "name": "The editor"},
)
async def add_test_recipient(request: ApiRequest, caller: Caller, body: TestRecipientInput) -> TestRecipientBody:
    """Add a test recipient.

    A code is mailed to an e-mail address; give it back with `…/confirm`. A phone number is taken at your word. An address gets
    three codes and then three a day. A test key adds none.
    """
    live(caller, _WHY)
    return shown(await request.services.test_recipients.add(caller.brand, body.address, body.name))


@test_recipients.post(
    "/test-recipients/{test_recipient_id:str}/confirm",
    scope="write",
    problems=[Invalid],
    example={"code": "AZqwAAAAcACAAAAAAAAAAQ=="},
)
async def confirm_test_recipient(
    request: ApiRequest, caller: Caller, test_recipient_id: UUID, body: ConfirmationInput
) -> TestRecipientBody:
    """Confirm an e-mail address with the code that was mailed to it."""
    service = request.services.test_recipients
    return shown(await service.confirm(caller.brand_id, test_recipient_id, body.code))


@test_recipients.delete("/test-recipients/{test_recipient_id:str}", scope="admin", status=204)
async def remove_test_recipient(request: ApiRequest, caller: Caller, test_recipient_id: UUID) -> None:
    """Remove a test recipient: from now on no test send goes there. A test key removes none."""
    live(caller, _WHY)
    await request.services.test_recipients.remove(caller.brand_id, test_recipient_id)
