"""Totals without people: how many were sent, delivered, opened, as the partner counts them."""

from collections.abc import Collection, Sequence

from stentor.accounts.model import Brand
from stentor.audience.upsert import until_settled
from stentor.db.connection import Connection
from stentor.db.pool import Database
from stentor.errors import TooLarge, Violation
from stentor.failpoints import failpoint
from stentor.integrations.metrics import store
from stentor.integrations.metrics.checking import Named, found, refused
from stentor.integrations.metrics.model import NO_TEMPLATE, TOTAL_MAX, TOTALS_MAX, FactKind, Total
from stentor.integrations.metrics.store import Counted


class TotalService:
    """Takes totals in. They are shown as reported, and move no send."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def report(self, brand: Brand, totals: Sequence[Total], *, channels: Collection[int] | None = None) -> None:
        """Stores the totals, all of them or none: each in the place of the one before, or added to it, as the brand has it.

        Of several about the same, the last holds, or all are added. `channels` as `checking.found`. Raises TooLarge for more
        than 100, and Invalid, naming the item, for an unknown execution, channel, template or metric, and for a value that is
        negative or above 10^15.
        """
        if len(totals) > TOTALS_MAX:
            raise TooLarge(f"{len(totals)} totals in one call; at most {TOTALS_MAX}. Send them in parts.")
        kinds = _kinds(totals)
        are_added = brand.settings.metrics_mode == "add"

        async def work(conn: Connection) -> None:
            said = [Named(one.campaign, one.channel, one.template) for one in totals]
            runs = await found(conn, brand.id, channels, said, noun="Item")
            stored: dict[Counted, int] = {}
            for one, kind in zip(totals, kinds, strict=True):
                counted = Counted(runs[one.campaign].execution_id, one.channel, one.template, kind)
                stored[counted] = one.value + (stored.get(counted, 0) if are_added else 0)
            await store.put_totals(conn, brand.id, stored, are_added=are_added)
            failpoint("totals.before_commit")

        if totals:
            await until_settled(self._db, work)
            failpoint("totals.after_commit")


def _kinds(totals: Sequence[Total]) -> list[FactKind]:
    violations: list[tuple[int, Violation]] = []
    kinds: list[FactKind] = []
    for place, one in enumerate(totals):
        try:
            kinds.append(FactKind.of_number(one.metric))
        except ValueError:
            text = f"There is no metric {one.metric}; there are 0 to 9."
            violations.append((place, Violation("/metric", "unknown-metric", text)))
        if not 0 <= one.value <= TOTAL_MAX:
            text = f"A value is a whole number from 0 to {TOTAL_MAX}."
            violations.append((place, Violation("/value", "out-of-range", text)))
        if one.template == NO_TEMPLATE:
            text = "A total is of a template; say which."
            violations.append((place, Violation("/template", "unknown-template", text)))
    if violations:
        raise refused("Item", violations)
    return kinds
