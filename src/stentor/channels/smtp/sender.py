"""The SMTP channel: waves in, outcomes out, over connections that are kept, shared by all waves, and replaced when they die."""

import asyncio
from collections import deque
from collections.abc import Sequence
from typing import Literal

import structlog

from stentor.channels.contract import Deferred, Message, Outcome, Wave
from stentor.channels.open_waves import CLOSED, TOO_OLD, OpenWave, OpenWaves, WavesInLine
from stentor.channels.smtp.connection import MailConnection
from stentor.channels.smtp.dial import CannotConnect, Dialler
from stentor.channels.smtp.settings import SmtpSettings
from stentor.channels.smtp.transaction import Transaction
from stentor.log import without_addresses

FINISH_S = 30.0  # what aclose gives the messages on the wire
CLOSE_S = 5.0  # and the closing of sockets, TLS included
MESSAGES_PER_CONNECTION = 8  # one more connection is worth its handshakes from so many waiting messages on
TRIES_MAX = 2  # so that a message which makes a server hang up cannot end one connection after the other
CROWDED_S = 30.0  # after a failed dial: the relay may count our connections, so the ones we have must do
BARREN_MAX = 3  # connections in a row that ended before any answer: the relay is not working

log = structlog.get_logger(__name__)


class SmtpChannel:
    """Hands mail over to one relay. Safe to share: several waves at once are served by lane, then in the order of their arrival."""

    keeps_notes: Literal[True] = True

    def __init__(self, settings: SmtpSettings, *, finish_s: float = FINISH_S) -> None:
        self._settings = settings
        self._finish_s = finish_s
        self._dialler = Dialler(settings)
        self._waves: WavesInLine[Transaction] = WavesInLine()
        self._open = OpenWaves(Transaction)
        self._returned: deque[Transaction] = deque()
        self._connections: set[MailConnection] = set()
        self._dials: set[asyncio.Task[None]] = set()
        self._barren = 0
        self._crowded_until = 0.0
        self._closing = False

    async def hand_over(self, wave: Wave, messages: Sequence[Message]) -> Sequence[Outcome]:
        """One outcome for each message, in their order.

        When cancelled, no further message starts; those on the wire are finished without anybody to tell.
        """
        if self._closing:
            return [CLOSED] * len(messages)
        return await self._open.outcomes(wave, messages, self._begin)

    async def aclose(self) -> None:
        """Starts nothing more, gives what is on the wire 30 seconds, says goodbye and closes. May be called twice."""
        self._closing = True
        self._settle_waiting(CLOSED)
        dials = list(self._dials)
        for dial in dials:
            dial.cancel()
        if dials:
            await asyncio.wait(dials)
        await self._open.until_done(self._finish_s)
        closing = [connection.closed for connection in self._connections]
        for connection in list(self._connections):
            connection.close("the sender was closed before the reply came")
        if closing:
            await asyncio.wait(closing, timeout=CLOSE_S)

    def take(self) -> Transaction | None:
        """The next message that may start: one given back by another connection, or the next of the first wave."""
        while self._returned:
            transaction = self._returned.popleft()
            if transaction.wave.done.done():
                continue
            if transaction.wave.may_start():
                transaction.begin()
                return transaction
            transaction.settle(TOO_OLD)
        return self._waves.take()

    def give_back(self, transaction: Transaction, why: str) -> None:
        """Another connection may try it once more; after that it is deferred."""
        if self._closing:
            transaction.settle(CLOSED)
        elif transaction.tries < TRIES_MAX:
            self._returned.append(transaction)
        else:
            transaction.settle(Deferred(why))

    def ended(self, connection: MailConnection, why: str, *, failed: bool) -> None:
        """Lets go of the connection; the third in a row that nothing was answered on speaks of the relay."""
        self._connections.discard(connection)
        if connection.answered:
            self._barren = 0
        elif failed:
            self._barren += 1
        if failed:
            log.info(
                "smtp.connection_lost",
                host=self._settings.host,
                answered=connection.answered,
                why=without_addresses(why),
            )
        if self._barren >= BARREN_MAX and not any(kept.answered for kept in self._connections):
            self._barren = 0
            self._settle_waiting(Deferred(why, sender_wide=True))
        self._tend()

    def _begin(self, opened: OpenWave[Transaction]) -> None:
        self._waves.add(opened)
        self._tend()

    def _tend(self) -> None:
        """Gives every connection what it has room for, and dials for the rest."""
        if self._closing:
            return
        for connection in list(self._connections):
            connection.nudge()
        waiting = len(self._returned) + self._waves.waiting
        wanted = -(-waiting // MESSAGES_PER_CONNECTION) - len(self._dials)
        for _ in range(min(wanted, self._room() - len(self._connections) - len(self._dials))):
            dial = asyncio.create_task(self._dial(), name="smtp.dial")
            self._dials.add(dial)
            dial.add_done_callback(self._dialled)

    def _room(self) -> int:
        """How many connections there may be: after a failed dial no more than now, or one that tries."""
        if asyncio.get_running_loop().time() < self._crowded_until:
            return max(1, len(self._connections))
        return self._settings.connections_max

    async def _dial(self) -> None:
        transport, offers = await self._dialler.dial()
        self._crowded_until = 0.0
        connection = MailConnection(transport, offers, self._settings, self)
        self._connections.add(connection)
        # Before it begins: should it end at its first message, another one is dialled instead.
        if (dial := asyncio.current_task()) is not None:
            self._dials.discard(dial)
        connection.nudge()

    def _dialled(self, dial: asyncio.Task[None]) -> None:
        self._dials.discard(dial)
        problem = None if dial.cancelled() else dial.exception()
        if problem is None:
            return
        if not isinstance(problem, CannotConnect):
            self._open.abandon(problem)
            return
        self._crowded_until = asyncio.get_running_loop().time() + CROWDED_S
        if not self._connections and not self._dials:
            log.warning("smtp.cannot_connect", host=self._settings.host, why=without_addresses(str(problem)))
            self._settle_waiting(Deferred(str(problem), sender_wide=True))

    def _settle_waiting(self, outcome: Outcome) -> None:
        while self._returned:
            self._returned.popleft().settle(outcome)
        self._waves.settle(outcome)
