"""Whom a call names: each recipient checked, who they are, and what is said of them alone."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any
from uuid import UUID

import msgspec

from stentor.audience.anonymous import AddressNames, BareAddress
from stentor.campaigns.context_schema import VIOLATIONS_NAMED_MAX, ContextSchema
from stentor.domain.address import InvalidAddress, normal_email, normal_phone
from stentor.domain.ids import customer_id, normal_external_id, recipient_id
from stentor.errors import Invalid, Violation
from stentor.triggers.context import checked_context

RECIPIENTS_MAX = 100


class NamedRecipient(msgspec.Struct, frozen=True, kw_only=True):
    """A recipient as a caller names them: by one of the first three. Fields of `context` win over the call's."""

    external_id: str | None = None
    email: str | None = None
    phone: str | None = None
    context: dict[str, Any] | None = None


class Addressee(msgspec.Struct, frozen=True):
    """Who a recipient is, the address if it is a bare one, and the JSON of their own context if they have one."""

    customer_id: UUID
    external_id: str
    address: BareAddress | None
    context: msgspec.Raw | None


class AddresseeSource:
    """Finds out whom calls of one brand mean. `region` is the country of phone numbers without a country code."""

    def __init__(self, brand_id: UUID, names: AddressNames, region: str | None) -> None:
        self._brand_id = brand_id
        self._names = names
        self._region = region

    def find(
        self, recipients: Sequence[NamedRecipient], context: Mapping[str, Any], schema: ContextSchema | None
    ) -> list[Addressee]:
        """The addressees, in order, each with a context that fits the schema.

        Raises Invalid with pointers such as `/recipients/3/email`, for whoever is named twice too.
        """
        if not 1 <= len(recipients) <= RECIPIENTS_MAX:
            message = f"There are {len(recipients)} recipients; name 1 to {RECIPIENTS_MAX} in one call."
            raise Invalid.field("/recipients", "recipients-count", message)
        violations = self._shared_violations(recipients, context, schema)
        found: list[Addressee] = []
        places: dict[UUID, int] = {}
        for place, recipient in enumerate(recipients):
            at = f"/recipients/{place}"
            try:
                addressee = self._addressee(recipient, context, schema, at)
            except Invalid as error:
                violations += error.violations
                continue
            found.append(addressee)
            first = places.setdefault(addressee.customer_id, place)
            if first != place:
                text = f"This is the recipient {first} again. Name everybody once."
                violations.append(Violation(at, "duplicate-recipient", text))
        if violations:
            raise Invalid(violations[0].message, violations=violations[:VIOLATIONS_NAMED_MAX])
        return found

    def _shared_violations(
        self, recipients: Sequence[NamedRecipient], context: Mapping[str, Any], schema: ContextSchema | None
    ) -> list[Violation]:
        """What is wrong with the call's context where it stands alone: who has fields of their own may fill its gaps."""
        stands_alone = any(not recipient.context for recipient in recipients)
        return schema.violations(context) if schema is not None and stands_alone else []

    def _addressee(
        self, recipient: NamedRecipient, context: Mapping[str, Any], schema: ContextSchema | None, at: str
    ) -> Addressee:
        own = None
        if recipient.context:
            whole = {**context, **recipient.context}
            checked_context(whole, f"{at}/context")
            if schema is not None and (violations := schema.violations(whole, f"{at}/context")):
                raise Invalid(violations[0].message, violations=violations)
            own = msgspec.Raw(msgspec.json.encode(recipient.context))
        if (recipient.external_id, recipient.email, recipient.phone).count(None) != 2:
            raise Invalid.field(at, "one-of", "Name a recipient by one of external_id, email and phone.")
        if recipient.external_id is not None:
            return self._customer(recipient.external_id, own, at)
        if recipient.email is not None:
            email = _normal(normal_email, recipient.email, f"{at}/email", "invalid-email")
            address = self._names.of_email(self._brand_id, email)
        else:
            number = recipient.phone or ""
            phone = _normal(lambda text: normal_phone(text, self._region), number, f"{at}/phone", "invalid-phone")
            address = self._names.of_phone(self._brand_id, phone)
        return Addressee(recipient_id(self._brand_id, address.external_id), address.external_id, address, own)

    def _customer(self, external_id: str, own: msgspec.Raw | None, at: str) -> Addressee:
        try:
            return Addressee(customer_id(self._brand_id, external_id), normal_external_id(external_id), None, own)
        except ValueError as error:
            raise Invalid.field(f"{at}/external_id", "invalid-external-id", str(error)) from None


def missing_addressees(addressees: Sequence[Addressee], existing: set[UUID]) -> list[Violation]:
    """A violation for each addressee who is none of the people that exist."""
    return [
        Violation(
            f"/recipients/{place}/external_id",
            "unknown-customer",
            f"This brand has no customer {addressee.external_id!r}. Create it first, or name the bare address.",
        )
        for place, addressee in enumerate(addressees)
        if addressee.customer_id not in existing
    ]


def _normal(normal: Callable[[str], str | InvalidAddress], text: str, pointer: str, code: str) -> str:
    found = normal(text)
    if isinstance(found, InvalidAddress):
        raise Invalid.field(pointer, code, found.reason)
    return found
