"""What doors do with executions: look, pause, resume, cancel, ask who and why, and try a run without running it."""

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from datetime import timedelta
from typing import TypeAlias
from uuid import UUID

import msgspec

from stentor.accounts.service import find_brand
from stentor.campaigns.model import PublishedContent
from stentor.clock import Clock
from stentor.db.by_keys import go_by_keys
from stentor.db.connection import Connection
from stentor.db.pool import Database
from stentor.domain.ids import PARTS, part_of, was_made_before
from stentor.domain.policy import BrandPolicy
from stentor.domain.vocabulary import ChannelKind
from stentor.errors import Conflict, Forbidden, NotFound, Unavailable
from stentor.executions import partner_runs, remedies, store
from stentor.executions.composing import Composer
from stentor.executions.explaining import Explanation, PausedSender, explain, paused_senders
from stentor.executions.facts import PublicationSource
from stentor.executions.forecasting import Forecast, Trial, forecast
from stentor.executions.history import HISTORY_DAYS
from stentor.executions.messages import MessageStory, message_story
from stentor.executions.model import ALL, Execution, ExecutionFilter, ExecutionState, Origin
from stentor.executions.partner_runs import PartnerRun
from stentor.executions.quieting import QuietSource
from stentor.executions.remedies import TREATMENTS, Action, Remedy
from stentor.executions.steps import orders
from stentor.executions.steps.model import Steps
from stentor.executions.steps.standing import steps_of
from stentor.failpoints import failpoint
from stentor.optouts.look_up import LookUp
from stentor.report import reactions, recipients, reconciliations
from stentor.report.funnel import ChannelFunnel, funnels
from stentor.report.reactions import ChannelReactions
from stentor.report.recipients import RecipientFilter, RecipientRow
from stentor.report.reconciliations import Line, Reconciliation

PAGE_MAX = 500
EXPORTS_MAX = 4

LOOK_S_MAX = 5
"""How long a narrowed list of executions may look for them."""

LOOKED_AT_MAX = 50_000
"""How many people one look through an execution's people passes, some 50 ms of reading, before it says where it got to."""

_LAST = (1 << 116) - 1
_CHANNEL_LAST = 32_767

DRY_RUNS_MAX = 2
DRY_RUN_S_MAX = 30
DRY_RUNS_OF_BRAND_MAX = 4
DRY_RUN_RETRY_AFTER_S = 5

START_GRACE = timedelta(hours=1)
"""How late what has a `start_at` may start; after that it fails, rather than being sent late in silence."""

# Executions or chunks of one sweep: a transaction of well under a second.
_SWEEP_MAX = 1_000

_CANCELS = "Only a running execution can be cancelled"
_Change: TypeAlias = Callable[[Connection, UUID, UUID], Awaitable[bool]]


class Progress(msgspec.Struct, frozen=True):
    """An execution with its numbers, which add up for each channel at all times."""

    execution: Execution
    channels: list[ChannelFunnel]


class Overview(msgspec.Struct, frozen=True):
    """An execution with its numbers, what was ordered for it, and the books of its last end.

    `to_decide` are sends in doubt whose sender asks what becomes of them; `paused_senders` are those that somebody of it
    waits for; `partner_run` is what partners know it as that execute it, or a part of it; `reactions` are what people did, as
    far as providers and partners told.
    """

    execution: Execution
    channels: list[ChannelFunnel]
    to_decide: int
    remedies: list[Remedy]
    reconciliation: Reconciliation | None
    paused_senders: list[PausedSender]
    partner_run: PartnerRun | None
    reactions: list[ChannelReactions]


class ExecutionService:
    """The executions of all brands; every call names its brand and sees nothing of the others."""

    def __init__(
        self,
        db: Database,
        publications: PublicationSource,
        composer: Composer,
        quiet: QuietSource,
        look_up: LookUp,
        *,
        history_days: int = HISTORY_DAYS,
    ) -> None:
        self._db = db
        self._publications = publications
        self._composer = composer
        self._dry_runs = asyncio.Semaphore(DRY_RUNS_MAX)
        self._dry_runs_of: Counter[UUID] = Counter()
        self._quiet = quiet
        self._look_up = look_up
        self._history = timedelta(days=history_days)
        self._exports = 0

    async def find(self, brand_id: UUID, execution_id: UUID) -> Execution:
        """The execution. Raises NotFound for one that does not exist or is another brand's."""
        async with self._db.read() as conn:
            return await self._find(conn, brand_id, execution_id)

    async def origin(self, execution_id: UUID) -> Origin:
        """The brand, topic and campaign of the execution that a signed link leads into. Raises NotFound when it is gone."""
        async with self._db.read() as conn:
            found = await store.origin(conn, execution_id)
        if found is None:
            raise NotFound("There is no such execution any more.")
        return found

    async def page(
        self, brand_id: UUID, *, before: UUID | None, limit: int, narrowed: ExecutionFilter = ALL
    ) -> list[Progress]:
        """A brand's executions, newest first, from `before` on; at most `PAGE_MAX`.

        Raises Unavailable where few are `narrowed` to and so many lie between them that looking takes more than 5 seconds.
        """
        patience = None if narrowed == ALL else timedelta(seconds=LOOK_S_MAX)
        async with self._db.read(statement_timeout=patience) as conn:
            found = await store.page(conn, brand_id, before, min(limit, PAGE_MAX), narrowed)
            counts = await funnels(conn, brand_id, [execution.id for execution in found])
        return [Progress(execution, counts.get(execution.id, [])) for execution in found]

    async def progress(self, brand_id: UUID, execution_id: UUID) -> Progress:
        """The execution and where its people stand. Raises NotFound."""
        async with self._db.read() as conn:
            execution = await self._find(conn, brand_id, execution_id)
            counts = await funnels(conn, brand_id, [execution_id])
        return Progress(execution, counts.get(execution_id, []))

    async def pause(self, brand_id: UUID, execution_id: UUID, *, is_test: bool = False) -> Progress:
        """Stops planning and claiming within a second, of its steps too.

        Raises Conflict when it is paused or over with them, and Forbidden where a test (`is_test`) would hold what is none.
        """
        await self._check_is_theirs(brand_id, execution_id, is_test=is_test)
        return await self._change(orders.pause, brand_id, execution_id, "Only a running execution can be paused")

    async def resume(self, brand_id: UUID, execution_id: UUID, *, is_test: bool = False) -> Progress:
        """Goes on with a paused execution.

        Raises Conflict when it is not paused, and Forbidden where a test (`is_test`) would go on with what is none.
        """
        await self._check_is_theirs(brand_id, execution_id, is_test=is_test)
        return await self._change(orders.resume, brand_id, execution_id, "Only a paused execution can be resumed")

    async def cancel(self, brand_id: UUID, execution_id: UUID, *, is_test: bool = False) -> Progress:
        """Ends an execution and its steps for good: who is not handed over yet is skipped as `execution_cancelled`.

        Raises Conflict when it is over already, and nobody waits for a step, and Forbidden where a test (`is_test`) would end
        what is none.
        """
        await self._check_is_theirs(brand_id, execution_id, is_test=is_test)
        return await self._change(orders.cancel, brand_id, execution_id, _CANCELS)

    async def _check_is_theirs(self, brand_id: UUID, execution_id: UUID, *, is_test: bool) -> None:
        """Raises Forbidden where a test key would change what writes to people."""
        if is_test and not (await self.find(brand_id, execution_id)).is_test:
            raise _no_test()

    async def cancel_with(self, conn: Connection, brand_id: UUID, execution_id: UUID) -> None:
        """Ends an execution as `cancel` does, in the caller's transaction: together with what else is changed there."""
        await self._changed(conn, orders.cancel, brand_id, execution_id, _CANCELS)

    async def overview(self, brand_id: UUID, execution_id: UUID) -> Overview:
        """The execution, where its people stand, what was ordered, and how it ended last. Raises NotFound."""
        async with self._db.read() as conn:
            execution = await self._find(conn, brand_id, execution_id)
            counts = await funnels(conn, brand_id, [execution_id])
            ordered = await remedies.page(conn, brand_id, execution_id)
            ends = await reconciliations.page(conn, brand_id, execution_id, before=None, limit=1)
            channels = counts.get(execution_id, [])
            is_in_doubt = any(channel.unknown for channel in channels)
            paused = await paused_senders(conn, brand_id, execution_id)
            run = (await partner_runs.runs_of(conn, brand_id, [execution_id])).get(execution_id)
            asking = await remedies.asking_channels(conn, brand_id, execution_id) if is_in_doubt else set()
            reacted = await reactions.reactions(conn, brand_id, execution_id)
        to_decide = sum(channel.unknown for channel in channels if channel.channel in asking)
        books = next(iter(ends), None)
        return Overview(execution, channels, to_decide, ordered, books, paused, run, reacted)

    async def content(self, brand_id: UUID, execution: Execution) -> PublishedContent:
        """What the execution says and goes by: its campaign as it was frozen."""
        return (await self._publications.load(brand_id, execution.publication_id)).content

    async def steps(self, brand_id: UUID, execution_id: UUID) -> Steps:
        """How the steps that follow the execution stand; none for one that nothing follows. Raises NotFound."""
        execution = await self.find(brand_id, execution_id)
        publication = await self._publications.load(brand_id, execution.publication_id)
        async with self._db.read() as conn:
            return await steps_of(conn, execution, publication.content)

    async def remedy(
        self,
        brand_id: UUID,
        execution_id: UUID,
        action: Action,
        channel: ChannelKind | None = None,
        *,
        asked_by: str,
        is_test: bool = False,
    ) -> Overview:
        """Orders that for the sends that failed or are in doubt now, on one channel or all; workers begin within a second.

        Asked again while it is carried out, or where nobody stands so, it changes nothing. Raises Conflict where something
        is to be sent again of an execution that was cancelled, failed, or is past its deadline. Raises Forbidden where a
        test (`is_test`) would change what is none: that is about people.
        """
        async with self._db.transaction() as conn:
            locked = await remedies.lock(conn, brand_id, execution_id)
            if locked is None:
                raise await self._missing(conn, brand_id, execution_id)
            state, is_late, of_test, is_forgotten = locked
            if is_test and not of_test:
                raise _no_test()
            if TREATMENTS[action].sends_again:
                _check_sends_again(state, is_late, is_forgotten=is_forgotten)
            await remedies.order(conn, brand_id, execution_id, action, channel, asked_by=asked_by)
            failpoint("remedy_asked.before_commit")
        failpoint("remedy_asked.after_commit")
        return await self.overview(brand_id, execution_id)

    async def reconciliations(
        self, brand_id: UUID, execution_id: UUID, *, before: int | None, limit: int
    ) -> list[Reconciliation]:
        """The books of the execution's ends, newest first, from the one numbered `before` on. Raises NotFound."""
        async with self._db.read() as conn:
            await self._find(conn, brand_id, execution_id)
            return await reconciliations.page(conn, brand_id, execution_id, before=before, limit=min(limit, PAGE_MAX))

    async def reconciliation_lines(self, brand_id: UUID, execution_id: UUID) -> AsyncGenerator[list[Line], None]:
        """Every line of the execution's reconciliations, newest first, one reconciliation at a time. Raises NotFound."""
        before: int | None = None
        while found := await self.reconciliations(brand_id, execution_id, before=before, limit=1):
            before = found[0].number
            async with self._db.read() as conn:
                lines = await reconciliations.lines(conn, brand_id, execution_id, [before])
            yield lines

    async def export_recipients(
        self, brand_id: UUID, execution_id: UUID, narrowed: RecipientFilter
    ) -> AsyncGenerator[list[RecipientRow], None]:
        """All of the execution's sends at one moment, in the order of their key, some thousand at a time.

        A connection is held as long as somebody reads. Raises NotFound, and Unavailable while `EXPORTS_MAX` are being read.
        """
        if self._exports >= EXPORTS_MAX:
            raise Unavailable(f"{EXPORTS_MAX} exports are being read already. Ask again in a minute.", retry_after_s=60)
        self._exports += 1
        try:
            async with self._db.transaction() as conn:
                await self._find(conn, brand_id, execution_id)
                async for rows in recipients.everybody(conn, brand_id, execution_id, narrowed):
                    yield rows
        finally:
            self._exports -= 1

    async def recipients(
        self,
        brand_id: UUID,
        execution_id: UUID,
        narrowed: RecipientFilter,
        *,
        after: tuple[UUID, int] | None,
        limit: int,
    ) -> list[RecipientRow]:
        """The execution's sends, in the order of their key, from `after` (customer, channel) on. Raises NotFound."""
        async with self._db.read() as conn:
            await self._find(conn, brand_id, execution_id)
            return await recipients.page(
                conn, brand_id, execution_id, narrowed, after=after, limit=min(limit, PAGE_MAX)
            )

    async def some_recipients(
        self,
        brand_id: UUID,
        execution_id: UUID,
        narrowed: RecipientFilter,
        *,
        after: tuple[UUID, int] | None,
        limit: int,
        people_max: int = LOOKED_AT_MAX,
    ) -> tuple[list[RecipientRow], tuple[UUID, int] | None]:
        """As `recipients`, of as many people as one look passes (`people_max`), and from where to look on; None at the end.

        So who looks for five among a million waits for no more than a look, and may get none of them. Raises NotFound.
        """
        async with self._db.transaction() as conn:
            await go_by_keys(conn)
            execution = await self._find(conn, brand_id, execution_id)
            people = max(execution.audience_size, execution.cast_size or 0, 1)
            first = part_of(after[0]) if after else 0
            last = min(first + max(1, PARTS * people_max // people), PARTS) - 1
            limit = min(limit, PAGE_MAX)
            found = await recipients.page(
                conn, brand_id, execution_id, narrowed, after=after, limit=limit, part_to=last
            )
        if len(found) == limit:
            return found, (found[-1].customer_id, int(found[-1].channel))
        if last == PARTS - 1:
            return found, None
        return found, (UUID(int=last << 116 | _LAST), _CHANNEL_LAST)

    async def partner_channels(self, brand_id: UUID, execution_id: UUID) -> Mapping[tuple[ChannelKind, int], int]:
        """By channel and variant of a send, the number of the partner channel that it goes out by; empty where it is none's.

        Raises NotFound.
        """
        execution = await self.find(brand_id, execution_id)
        if execution.is_test:
            return {}
        content = (await self._publications.load(brand_id, execution.publication_id)).content
        return {
            (route.channel, base): route.partner.channel_number
            for route, base in zip(content.routes, content.variant_bases, strict=True)
            if route.partner is not None
        }

    async def explain(self, brand_id: UUID, execution_id: UUID, external_id: str) -> Explanation:
        """What happened to one person in one execution, and why. Raises NotFound when either does not exist."""
        execution = await self.find(brand_id, execution_id)
        # Before a connection is taken: who holds one and waits for a second one can wait for others who do the same.
        publication = await self._publications.load(brand_id, execution.publication_id)

        async def tell() -> Explanation:
            async with self._db.read() as conn:
                return await explain(conn, self._look_up, execution, publication, external_id)

        return await self._look_up.surely(tell)

    async def message(self, brand_id: UUID, execution_id: UUID, customer: UUID, channel: ChannelKind) -> MessageStory:
        """How the message to one person on one channel stands, and what happened to it. Raises NotFound."""
        execution = await self.find(brand_id, execution_id)
        publication = await self._publications.load(brand_id, execution.publication_id)

        async def tell() -> MessageStory | None:
            async with self._db.read() as conn:
                return await message_story(
                    conn, self._look_up, execution, publication, customer=customer, channel=channel
                )

        story = await self._look_up.surely(tell)
        if story is None:
            raise NotFound("This brand has no such message.")
        return story

    async def dry_run(self, brand_id: UUID, publication_id: UUID, trial: Trial) -> Forecast:
        """Who a run would reach now, who it would leave out and why, and three rendered samples. Nothing is written.

        It looks at everybody who is meant, so few run at once and the others wait. Raises Unavailable when a statement of it
        takes longer than 30 seconds, and where the brand has as many under way as it may.
        """
        if self._dry_runs_of[brand_id] >= DRY_RUNS_OF_BRAND_MAX:
            raise Unavailable(
                f"This brand has {DRY_RUNS_OF_BRAND_MAX} dry runs under way here. Wait for one of them.",
                retry_after_s=DRY_RUN_RETRY_AFTER_S,
            )
        self._dry_runs_of[brand_id] += 1
        try:
            return await self._dry_run(brand_id, publication_id, trial)
        finally:
            self._dry_runs_of[brand_id] -= 1
            # A counter keeps what it has counted down to nothing.
            self._dry_runs_of += Counter()

    async def _dry_run(self, brand_id: UUID, publication_id: UUID, trial: Trial) -> Forecast:
        publication = await self._publications.load(brand_id, publication_id)

        async def foretell() -> Forecast:
            # What it writes, the cast of the run that is tried, is taken back.
            async with (
                self._db.transaction(statement_timeout=timedelta(seconds=DRY_RUN_S_MAX)) as conn,
                conn.transaction(force_rollback=True),
            ):
                brand = await find_brand(conn, brand_id)
                policy = brand.settings.policy if brand else BrandPolicy()
                return await forecast(
                    conn, self._composer, self._quiet, publication, trial, look_up=self._look_up, brand=policy
                )

        async with self._dry_runs:
            return await self._look_up.surely(foretell)

    async def _find(self, conn: Connection, brand_id: UUID, execution_id: UUID) -> Execution:
        execution = await store.find(conn, brand_id, execution_id)
        if execution is None:
            raise await self._missing(conn, brand_id, execution_id)
        return execution

    async def _missing(self, conn: Connection, brand_id: UUID, execution_id: UUID) -> NotFound:
        brand = await find_brand(conn, brand_id)
        days = brand.settings.history_days if brand else None
        return _missing(execution_id, self._history if days is None else min(self._history, timedelta(days=days)))

    async def _change(self, change: _Change, brand_id: UUID, execution_id: UUID, rule: str) -> Progress:
        async with self._db.transaction() as conn:
            await self._changed(conn, change, brand_id, execution_id, rule)
            failpoint("order.before_commit")
        failpoint("order.after_commit")
        return await self.progress(brand_id, execution_id)

    async def _changed(self, conn: Connection, change: _Change, brand_id: UUID, execution_id: UUID, rule: str) -> None:
        if not await change(conn, brand_id, execution_id):
            execution = await self._find(conn, brand_id, execution_id)
            state = "paused" if execution.paused_at else execution.state
            raise Conflict(f"{rule}; this one is {state}.", state=state)


def _missing(execution_id: UUID, history: timedelta) -> NotFound:
    # Said of every id of that age, so that nobody learns whose executions there were.
    if was_made_before(execution_id, Clock().now() - history):
        return NotFound(
            f"The history of executions is dropped after {history.days} days; this brand has none of this id."
        )
    return NotFound("This brand has no such execution. List them with GET …/executions.")


def _no_test() -> Forbidden:
    return Forbidden("A test key sends nothing to people: this execution is no test. Use another key.")


def _check_sends_again(state: ExecutionState, is_late: bool, *, is_forgotten: bool) -> None:
    if is_forgotten:
        raise Conflict(
            "What the execution said was forgotten, as the group's retention says, so nothing is sent again."
        )
    if state in {"cancelled", "failed"}:
        raise Conflict(f"Nothing is sent again of an execution that is {state}; settle what is in doubt.", state=state)
    if is_late:
        raise Conflict("The execution's deadline has passed, so nothing is sent again; settle what is in doubt.")


async def start_due(db: Database) -> int:
    """Lets executions begin whose `start_at` has come; the keeper's chore. Returns how many it began or failed."""
    async with db.transaction() as conn:
        begun = await store.start_due(conn, START_GRACE, _SWEEP_MAX)
        if begun:
            failpoint("start.before_commit")
    if begun:
        failpoint("start.after_commit")
    return begun


async def sweep_expired(db: Database) -> int:
    """Brings executions past their deadline to their end, paused ones too: workers skip whoever is left.

    The keeper's chore. Returns how many executions and chunks it touched.
    """
    async with db.transaction() as conn:
        return await store.sweep_expired(conn, _SWEEP_MAX)
