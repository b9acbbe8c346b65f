"""People: told of one by one or in sets, looked up, listed."""

from collections.abc import Collection, Sequence
from uuid import UUID

from stentor.audience import customer_store
from stentor.audience.intake import Given, Intake, Refusal, take_in
from stentor.audience.model import Act, Customer, CustomerPatch, Fate, Source, Upserted
from stentor.audience.repeats import fold
from stentor.audience.upsert import Stored, Vanished, until_settled, upsert
from stentor.db.connection import Connection
from stentor.db.pool import Database
from stentor.domain.ids import customer_id
from stentor.errors import Conflict, Invalid, NotFound, TooLarge, Violation

PEOPLE_MAX = 1000
PAGE_MAX = 1000
_ACT = Act(source=Source.API)


class CustomerService:
    """Makes, changes and finds the people of a brand."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def upsert(self, brand_id: UUID, patch: CustomerPatch, *, region: str | None = None) -> Upserted:
        """The person, made or changed: a field left out is kept, None takes it away.

        `region` is the country (`DE`) of a phone number without a country code. An address that is none is stored and
        warned of, and the person is skipped as `invalid_address`. Raises Invalid for anything else that breaks a rule, and
        Conflict where the person is erased or merged at that moment.
        """
        try:
            return (await self.upsert_many(brand_id, [patch], region=region))[0]
        except Invalid as error:
            violations = [_moved(violation, violation.pointer.removeprefix("/0")) for violation in error.violations]
            raise Invalid(error.detail, violations=violations) from None

    async def upsert_many(
        self, brand_id: UUID, patches: Sequence[CustomerPatch], *, region: str | None = None
    ) -> list[Upserted]:
        """The people in the order given, as `upsert` would leave them one after the other; all of them or none.

        Raises TooLarge for more than 1,000, Invalid with pointers such as `/3/locale`, and Conflict as `upsert`.
        """
        if len(patches) > PEOPLE_MAX:
            raise TooLarge(
                f"{len(patches)} customers in one request; at most {PEOPLE_MAX}. Send several, or import a file."
            )
        intake = take_in(brand_id, Given.of(patches), region=region)
        _refuse(intake.refused)
        return await until_settled(self._db, lambda conn: _stored(conn, brand_id, intake)) if patches else []

    async def get(self, brand_id: UUID, external_id: str) -> Customer:
        """The person of that external id; of somebody merged, the one they are now. Raises NotFound."""
        async with self._db.read() as conn:
            wanted = await customer_store.survivor_of(conn, brand_id, id_of(brand_id, external_id))
            customer = await customer_store.customer_by_id(conn, brand_id, wanted)
        if customer is None:
            raise missing_customer(external_id)
        return customer

    async def known(self, brand_id: UUID, external_ids: Collection[str]) -> dict[str, str]:
        """Those of these people whom the brand knows, each with the external id that they have now: merged, another one's."""
        wanted = {each: found for each in external_ids if (found := _possible_id(brand_id, each)) is not None}
        async with self._db.read() as conn:
            merged = await customer_store.survivors_of(conn, brand_id, list(wanted.values()))
            now = {each: merged.get(found, found) for each, found in wanted.items()}
            there = await customer_store.customers_by_id(conn, brand_id, list(now.values()))
        return {each: there[found].external_id for each, found in now.items() if found in there}

    async def page(self, brand_id: UUID, *, after: UUID | None = None, limit: int = PAGE_MAX) -> list[Customer]:
        """Up to 1,000 people in the order of their ids, from behind `after`."""
        async with self._db.read() as conn:
            return await customer_store.page_of_customers(conn, brand_id, after=after, limit=min(limit, PAGE_MAX))


def id_of(brand_id: UUID, external_id: str) -> UUID:
    """The id that the person of that external id has or would have. Raises NotFound for a text that can be none."""
    try:
        return customer_id(brand_id, external_id)
    except ValueError:
        raise missing_customer(external_id) from None


def _possible_id(brand_id: UUID, external_id: str) -> UUID | None:
    try:
        return customer_id(brand_id, external_id)
    except ValueError:
        return None


def missing_customer(who: str | UUID) -> NotFound:
    """The answer about a person, by external id or id, whom the brand does not know."""
    return NotFound(f"This brand has no customer {str(who)!r}.")


def gone_meanwhile() -> Conflict:
    """The answer to a change that met the erasure of whom it was about, or a merge."""
    return Conflict(
        "One of these people was erased or merged while this was being stored, and nothing is. Ask who is there; said once"
        " more, it makes them anew."
    )


async def _stored(conn: Connection, brand_id: UUID, intake: Intake) -> list[Upserted]:
    # Folding writes into its rows, and a transaction that was overtaken runs again.
    folded = fold(intake.rows.copy())
    _refuse(folded.refused)
    try:
        stored = await upsert(conn, brand_id, folded.rows, _ACT)
    except Vanished:
        raise gone_meanwhile() from None
    _refuse(stored.refused)
    customers = await customer_store.customers_by_id(
        conn, brand_id, [UUID(hex=key) for key in folded.rows.customer_ids]
    )
    if not customers.keys() >= {UUID(hex=key) for key in folded.rows.customer_ids}:
        raise gone_meanwhile()
    warnings: dict[int, list[Violation]] = {}
    for warning in intake.warnings:
        warnings.setdefault(warning.line, []).append(warning.violation)
    return [
        Upserted(customers[UUID(hex=key)], _fate(stored, line), tuple(warnings.get(line, ())))
        for line, key in zip(intake.rows.lines, intake.rows.customer_ids, strict=True)
    ]


def _fate(stored: Stored, line: int) -> Fate:
    # A line that was folded into an earlier one about the same person has no fate of its own.
    return stored.fates.get(line, Fate.UNCHANGED)


def _refuse(refused: Sequence[Refusal]) -> None:
    if refused:
        violations = [_moved(refusal.violation, f"/{refusal.line}{refusal.violation.pointer}") for refusal in refused]
        raise Invalid(violations[0].message, violations=violations)


def _moved(violation: Violation, pointer: str) -> Violation:
    return Violation(pointer, violation.code, violation.message)
