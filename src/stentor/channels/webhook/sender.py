"""The webhook sender: each request has its letters, each letter its outcome; requests share a bounded set of connections."""

import asyncio
import hashlib
from collections.abc import Sequence
from functools import partial
from typing import Literal

import structlog
from aiohttp.abc import AbstractResolver

from stentor.channels.contract import Deferred, InDoubt, Message, Outcome, Wave
from stentor.channels.open_waves import CLOSED, TOO_OLD, OpenWave, OpenWaves
from stentor.channels.outbound import Outbound
from stentor.channels.webhook.exchange import Exchange, NotWritten, ReplyLost, RequestBody, TooLate
from stentor.channels.webhook.letters import Letter, WaitingLetters, may_leave
from stentor.channels.webhook.settings import WebhookSettings
from stentor.channels.webhook.signing import Signer, keys_of
from stentor.channels.webhook.verdicts import judge, judge_batch
from stentor.clock import Clock
from stentor.log import without_addresses

FINISH_S = 30.0  # what aclose gives the requests on the wire

log = structlog.get_logger(__name__)


class WebhookChannel:
    """Posts messages to one URL. Safe to share: several waves at once are served by lane, then in the order of their arrival.

    `resolver` asks for addresses in place of the system's.
    """

    keeps_notes: Literal[True] = True

    def __init__(
        self,
        settings: WebhookSettings,
        outbound: Outbound,
        *,
        resolver: AbstractResolver | None = None,
        finish_s: float = FINISH_S,
    ) -> None:
        self._settings = settings
        self._place = settings.place
        self._outbound = outbound
        self._resolver = resolver
        self._finish_s = finish_s
        self._signer = Signer(keys_of(settings.secrets))
        # Receivers compare it with their own clock: never the shifted time of a demo.
        self._clock = Clock()
        self._waiting = WaitingLetters()
        self._open = OpenWaves(Letter)
        self._couriers: set[asyncio.Task[None]] = set()
        self._on_wire = 0
        self._exchange: Exchange | None = None
        self._opening = asyncio.Lock()
        self._closing = False

    async def hand_over(self, wave: Wave, messages: Sequence[Message]) -> Sequence[Outcome]:
        """One outcome for each message, in their order.

        When cancelled, no further message starts; those on the wire are finished without anybody to tell.
        """
        if self._closing:
            return [CLOSED] * len(messages)
        return await self._open.outcomes(wave, messages, self._begin)

    async def aclose(self) -> None:
        """Starts nothing more, gives what is on the wire 30 seconds, and closes. May be called twice."""
        self._closing = True
        self._waiting.settle(CLOSED)
        if self._couriers:
            _, late = await asyncio.wait(self._couriers, timeout=self._finish_s)
            for courier in late:
                courier.cancel()
            await asyncio.gather(*late, return_exceptions=True)
        if self._exchange is not None:
            await self._exchange.close()

    def _begin(self, opened: OpenWave[Letter]) -> None:
        self._waiting.add(opened)
        self._tend()

    def _tend(self) -> None:
        """As many couriers as there are requests to be made, and connections to make them on."""
        requests = -(-len(self._waiting) // self._settings.batch_max)
        for _ in range(min(requests, self._settings.connections_max - len(self._couriers))):
            courier = asyncio.create_task(self._work(), name="webhook.courier")
            self._couriers.add(courier)

    async def _work(self) -> None:
        try:
            await self._carry(await self._opened())
        except Exception as bug:  # noqa: BLE001 - whoever waits for the waves raises it
            self._open.abandon(bug)
        finally:
            # In the same step as the last look for letters: a wave that comes after it must not count on this courier.
            if task := asyncio.current_task():
                self._couriers.discard(task)

    async def _carry(self, exchange: Exchange) -> None:
        """One request after the other, for as long as anything waits."""
        while letters := self._waiting.take(self._settings.batch_max):
            body = RequestBody(self._content(letters), partial(may_leave, letters))
            try:
                outcomes = await self._post(exchange, letters, body)
            except NotWritten as trouble:
                self._give_back(letters, str(trouble))
                return
            except asyncio.CancelledError:
                _settle(letters, [_CUT_SHORT if body.has_begun else CLOSED] * len(letters))
                raise
            _settle(letters, outcomes)
            self._heed(outcomes)

    async def _post(self, exchange: Exchange, letters: Sequence[Letter], body: RequestBody) -> Sequence[Outcome]:
        """What became of the letters. Raises NotWritten when nothing of them left."""
        ids = [letter.send_id for letter in letters]
        headers = self._signer.headers(self._webhook_id(ids), int(self._clock.now().timestamp()), body.content)
        self._on_wire += 1
        try:
            reply = await exchange.post(body, headers)
        except TooLate:
            return [TOO_OLD] * len(letters)
        except ReplyLost as loss:
            log.info("webhook.reply_lost", place=str(self._place), sends=len(letters), why=str(loss))
            return [InDoubt(str(loss))] * len(letters)
        finally:
            self._on_wire -= 1
        answered_at = self._clock.now()
        return judge_batch(reply, ids, answered_at) if self._is_batched else [judge(reply, answered_at)]

    def _give_back(self, letters: Sequence[Letter], why: str) -> None:
        """Letters that no connection could be had for are left to the other couriers, or wait for better times.

        While others have a connection the receiver may count ours, and the ones there are must do.
        """
        if self._closing:
            _settle(letters, [CLOSED] * len(letters))
        elif self._on_wire:
            self._waiting.give_back(letters)
        else:
            log.warning("webhook.cannot_connect", place=str(self._place), why=without_addresses(why))
            outcome = Deferred(why, sender_wide=True)
            _settle(letters, [outcome] * len(letters))
            self._waiting.settle(outcome)

    def _heed(self, outcomes: Sequence[Outcome]) -> None:
        """What the receiver said of all it said to those who still wait, too: they would only hear it again."""
        last = outcomes[-1]
        if isinstance(last, Deferred) and last.sender_wide:
            self._waiting.settle(last)

    async def _opened(self) -> Exchange:
        async with self._opening:
            if self._exchange is None:
                self._exchange = await Exchange.opened(self._settings, self._outbound, self._resolver)
            return self._exchange

    @property
    def _is_batched(self) -> bool:
        return self._settings.batch_max > 1

    def _content(self, letters: Sequence[Letter]) -> bytes:
        if not self._is_batched:
            return letters[0].content
        entries = (b'{"id":"%b","data":%b}' % (letter.send_id.encode(), letter.content) for letter in letters)
        return b"[%b]" % b",".join(entries)

    def _webhook_id(self, ids: Sequence[str]) -> str:
        """The send's id; of a batch one that the same sends have together, and no others."""
        if not self._is_batched:
            return ids[0]
        return f"batch_{hashlib.sha256(' '.join(ids).encode()).hexdigest()}"


def _settle(letters: Sequence[Letter], outcomes: Sequence[Outcome]) -> None:
    for letter, outcome in zip(letters, outcomes, strict=True):
        letter.settle(outcome)


_CUT_SHORT = InDoubt("the sender was closed before the answer came")
