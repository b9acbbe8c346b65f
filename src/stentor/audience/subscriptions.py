"""What people chose, one person at a time: subscriptions, channel flags, withdrawing from all, and the ledger."""

from datetime import datetime, timedelta
from uuid import UUID

import msgspec

from stentor.audience import consent_store, customer_store
from stentor.audience.consent import choose, set_flags
from stentor.audience.consent_store import Person, Subscriber
from stentor.audience.customer_store import survivor_of
from stentor.audience.customers import id_of, missing_customer
from stentor.audience.model import Act, Choice, ConsentEvent, FlagChoice, Source, Subscription, Topic
from stentor.audience.refusing import addresses_of, refuse
from stentor.audience.topics import found
from stentor.audience.upsert import Overtaken, until_settled
from stentor.clock import Clock
from stentor.db.connection import Connection
from stentor.db.pool import Database
from stentor.domain.vocabulary import ALL_CHANNELS_MASK, channels_in
from stentor.errors import Invalid
from stentor.optouts.model import Cause
from stentor.optouts.service import remove_from_builtin

PAGE_MAX = 1000
BREAK_DAYS_MAX = 366


class SubscriptionService:
    """Changes and shows what people chose. Every change is written together with its line in the ledger.

    What is said of somebody who was merged into another one is said of that one: links in old messages go on working.
    """

    def __init__(self, db: Database) -> None:
        self._db = db

    async def subscribe(self, brand_id: UUID, external_id: str, topic: str, channels: int | None, act: Act) -> int:
        """Adds channels (a mask; None: all that the topic offers) to the subscription; answers with its channels now.

        A channel flag that is "no" stays so. Raises NotFound for the person or the topic, Invalid for a channel that the
        topic does not offer.
        """

        async def work(conn: Connection) -> int:
            wanted = await found(conn, brand_id, topic)
            add = _offered(wanted, channels)
            customer = await survivor_of(conn, brand_id, id_of(brand_id, external_id))
            return await _chosen(conn, brand_id, external_id, Choice(customer, wanted.id, add), act)

        return await until_settled(self._db, work)

    async def unsubscribe(self, brand_id: UUID, external_id: str, topic: str, channels: int | None, act: Act) -> int:
        """Takes channels (a mask; None: all) from the subscription; answers with its channels now. Raises NotFound."""

        async def work(conn: Connection) -> int:
            wanted = await found(conn, brand_id, topic)
            remove = ALL_CHANNELS_MASK if channels is None else channels
            customer = await survivor_of(conn, brand_id, id_of(brand_id, external_id))
            choice = Choice(customer, wanted.id, remove=remove)
            return await _chosen(conn, brand_id, external_id, choice, act)

        return await until_settled(self._db, work)

    async def withdraw(self, brand_id: UUID, customer: UUID, topic_id: UUID, act: Act) -> None:
        """Ends the person's subscription of the topic on every channel; what a link in a message of the topic does.

        Raises NotFound for a person who does not exist. A topic that is gone, or was never subscribed to, is no error.
        """

        async def work(conn: Connection) -> None:
            person = await survivor_of(conn, brand_id, customer)
            chosen = await choose(conn, brand_id, [Choice(person, topic_id, remove=ALL_CHANNELS_MASK)], act)
            if chosen.unknown:
                await _assert_not_overtaken(conn, brand_id, person)
                raise missing_customer(customer)

        await until_settled(self._db, work)

    async def withdraw_all(self, brand_id: UUID, customer: UUID, act: Act, *, campaign: str = "") -> None:
        """Unsubscribes from all: the flag "no" on every channel, and every address on the brand's built-in list.

        `campaign` is the name of the one whose message led here. Raises NotFound for a person who does not exist.
        """
        await self.refuse(brand_id, customer, ALL_CHANNELS_MASK, act, cause="unsubscribe", campaign=campaign)

    async def refuse(
        self, brand_id: UUID, customer: UUID, channels: int, act: Act, *, cause: Cause, campaign: str = ""
    ) -> None:
        """The flag "no" on these channels (a mask), and the addresses behind them on the brand's built-in list.

        `campaign` as `withdraw_all`. Raises NotFound for a person who does not exist.
        """

        async def work(conn: Connection) -> None:
            if not await refuse(conn, brand_id, [customer], channels, act, cause=cause, campaign=campaign):
                raise missing_customer(customer)

        await until_settled(self._db, work)

    async def agree(self, brand_id: UUID, customer: UUID, channels: int, act: Act) -> None:
        """The flag "yes" on these channels (a mask), and the addresses behind them off the brand's built-in list.

        It lifts "all", so only the person's own act may lead here: the signed preference page, or a reply of START. Raises
        ValueError for another source, NotFound for a person who does not exist.
        """
        if act.source not in (Source.PREFERENCE_PAGE, Source.REPLY):
            raise ValueError(f"{act.source} is not the person: it may not lift an opt-out.")

        async def work(conn: Connection) -> None:
            person = await _flagged(conn, brand_id, FlagChoice(customer, agree=channels), act)
            await remove_from_builtin(conn, brand_id, [digest for _, digest, _ in addresses_of(person, channels)])

        await until_settled(self._db, work)

    async def take_break(self, brand_id: UUID, customer: UUID, until: datetime | None, act: Act) -> datetime | None:
        """Nothing that needs consent goes to the person until then, whatever they have chosen; None ends that.

        Answers with `until`. Raises NotFound for a person who does not exist, Invalid for a time that is over or more
        than 366 days away.
        """

        async def work(conn: Connection) -> None:
            _check_break(until, Clock(self._db.shift).now())
            person = await survivor_of(conn, brand_id, customer)
            if person not in await consent_store.lock_people(conn, brand_id, [person]):
                await _assert_not_overtaken(conn, brand_id, customer)
                raise missing_customer(customer)
            await consent_store.take_break(conn, brand_id, person, until, act)

        await until_settled(self._db, work)
        return until

    async def of_customer(self, brand_id: UUID, external_id: str) -> list[Subscription]:
        """The person's subscriptions by topic key; one without channels is a withdrawal. Raises NotFound."""
        customer = id_of(brand_id, external_id)
        async with self._db.read() as conn:
            await _assert_known(conn, brand_id, customer, external_id)
            return await consent_store.subscriptions_of(conn, brand_id, customer)

    async def of_topic(
        self, brand_id: UUID, topic: str, *, after: UUID | None = None, limit: int = PAGE_MAX
    ) -> list[Subscriber]:
        """Up to 1,000 subscribers of the topic in the order of their ids, from behind `after`. Raises NotFound."""
        async with self._db.read() as conn:
            wanted = await found(conn, brand_id, topic)
            return await consent_store.page_of_subscribers(
                conn, brand_id, wanted.id, after=after, limit=min(limit, PAGE_MAX)
            )

    async def ledger(
        self, brand_id: UUID, external_id: str, *, before: UUID | None = None, limit: int = PAGE_MAX
    ) -> list[ConsentEvent]:
        """Up to 1,000 lines of the person's ledger, newest first, from before the event `before`. Raises NotFound."""
        customer = id_of(brand_id, external_id)
        async with self._db.read() as conn:
            await _assert_known(conn, brand_id, customer, external_id)
            return await consent_store.page_of_events(
                conn, brand_id, customer, before=before, limit=min(limit, PAGE_MAX)
            )


def _check_break(until: datetime | None, now: datetime) -> None:
    if until is not None and not now < until <= now + timedelta(days=BREAK_DAYS_MAX):
        text = f"A break ends in the future and within {BREAK_DAYS_MAX} days."
        raise Invalid.field("/until", "out-of-range", text)


async def _chosen(conn: Connection, brand_id: UUID, external_id: str, choice: Choice, act: Act) -> int:
    chosen = await choose(conn, brand_id, [choice], act)
    if chosen.unknown:
        await _assert_not_overtaken(conn, brand_id, choice.customer_id)
        raise missing_customer(external_id)
    return chosen.changes[0].after


def _offered(topic: Topic, channels: int | None) -> int:
    wanted = topic.channels if channels is None else channels
    if missing := channels_in(wanted & ~topic.channels):
        names = ", ".join(kind.label for kind in missing)
        raise Invalid.field("/channels", "channel-not-offered", f"The topic {topic.key!r} is not offered on {names}.")
    return wanted


async def _flagged(conn: Connection, brand_id: UUID, choice: FlagChoice, act: Act) -> Person:
    customer = await survivor_of(conn, brand_id, choice.customer_id)
    people = await set_flags(conn, brand_id, [msgspec.structs.replace(choice, customer_id=customer)], act)
    if customer not in people:
        await _assert_not_overtaken(conn, brand_id, customer)
        raise missing_customer(choice.customer_id)
    return people[customer]


async def _assert_not_overtaken(conn: Connection, brand_id: UUID, customer: UUID) -> None:
    """That nobody has merged them since it was asked whom they are now: an opt-out must not be lost between the two."""
    if await survivor_of(conn, brand_id, customer) != customer:
        raise Overtaken


async def _assert_known(conn: Connection, brand_id: UUID, customer: UUID, external_id: str) -> None:
    """That there is such a person, or was until they were merged into another one: their ledger says so."""
    known = await customer_store.customer_by_id(conn, brand_id, customer)
    if known is None and await survivor_of(conn, brand_id, customer) == customer:
        raise missing_customer(external_id)
