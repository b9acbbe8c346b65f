"""SMTP mail transactions over one connection: with CHUNKING many at once, with PIPELINING one and a half, else step by step.

RFC 2920 lets a group of commands be written together when DATA comes last; the body of one message and the envelope of
the next then share a segment. With RFC 3030 a body needs no go-ahead, so whole messages follow one another.
"""

import asyncio
from typing import Protocol

from stentor.channels.contract import InDoubt, NotSent, Outcome, Rejected
from stentor.channels.smtp.conversation import WHOLE_BYTES_MAX, Conversation
from stentor.channels.smtp.envelope import Offers, Unsendable, dot_stuffed, letter_for
from stentor.channels.smtp.replies import Reply, answer
from stentor.channels.smtp.settings import SmtpSettings
from stentor.channels.smtp.transaction import Transaction
from stentor.channels.smtp.verdicts import Said, accepted, refused

QUIET_S = 1.0  # a connection that said nothing for so long may be dead without our knowing
QUICK_S = 0.5  # a server whose final replies take longer gets no envelope ahead: its body would go out late
_GO_AHEAD = 354


class Source(Protocol):
    """Where a connection gets its messages, and to whom it returns what it could not finish."""

    def take(self) -> Transaction | None:
        """The next message, if any may start now."""

    def give_back(self, transaction: Transaction, why: str) -> None:
        """The connection ended before this message was on the wire: a definite no, not yet an outcome."""

    def ended(self, connection: "MailConnection", why: str, *, failed: bool) -> None:
        """The connection is gone; `failed`: with messages in flight."""


class MailConnection(Conversation):
    """Takes messages from its source for as long as there are any and it lives. Each gets exactly one outcome or is given back."""

    def __init__(self, transport: asyncio.Transport, offers: Offers, settings: SmtpSettings, source: Source) -> None:
        super().__init__(transport)
        self.answered = 0
        self._offers = offers
        self._settings = settings
        self._source = source
        self._mail_from = b"MAIL FROM:<%b>" % settings.envelope_from.encode()
        self._chunked = offers.chunking and offers.pipelining
        self._in_step = not offers.pipelining
        self._room = self._has_window if self._chunked else self._has_turn
        self._in_flight = 0
        self._unreset = False
        self._unproven = False
        self._quick = True
        self._body_at = 0.0

    def _speak(self) -> None:
        if not self._expected:
            self._unproven = self._loop.time() - self._heard_at > QUIET_S
        while self._room():
            transaction = self._source.take()
            if transaction is None:
                break
            self._start(transaction)
            if self._segment_bytes > WHOLE_BYTES_MAX:
                self._flush()
        self._flush()

    def _has_window(self) -> bool:
        window = 1 if self._unproven else self._settings.in_flight_max
        return self._in_flight < window and self._tail is None and not self._paused and not self.ended

    def _has_turn(self) -> bool:
        """Only a final reply may be outstanding, and then from a server that is quick with it."""
        if self._paused or self.ended or self._tail is not None:
            return False
        if not self._expected:
            return True
        return self._quick and not self._in_step and self._expected[-1][0] == self._on_final

    def _start(self, transaction: Transaction) -> None:
        try:
            transaction.letter = letter_for(transaction.message.address, transaction.message.wire(), self._offers)
        except Unsendable as problem:
            transaction.settle(Rejected(str(problem), bad_address=problem.bad_address))
            return
        except Exception as bug:  # noqa: BLE001 - of whoever made the message, so hand_over raises it and not asyncio's callback
            transaction.wave.abandon(bug)
            return
        transaction.ahead = bool(self._expected)
        self._in_flight += 1
        if self._chunked:
            self._start_chunked(transaction)
        elif self._in_step:
            self._start_in_step(transaction)
        else:
            self._start_pipelined(transaction)

    def _start_chunked(self, transaction: Transaction) -> None:
        # RFC 3030 §4.2: after a refused BDAT only RSET makes the state known again, and when it is written we cannot
        # know yet; Postfix and Exim would answer the next MAIL with 503.
        self._say(b"RSET\r\n", self._on_rset, transaction)
        self._say(self._mail(transaction), self._on_mail, transaction)
        self._say(self._rcpt(transaction), self._on_rcpt, transaction)
        if not self._unproven:
            self._say_chunk(transaction)

    def _start_pipelined(self, transaction: Transaction) -> None:
        if self._unreset:
            self._unreset = False
            self._say(b"RSET\r\n", self._on_rset, transaction)
        self._say(self._mail(transaction), self._on_mail, transaction)
        self._say(self._rcpt(transaction), self._on_rcpt, transaction)
        self._say(b"DATA\r\n", self._on_data, transaction)

    def _start_in_step(self, transaction: Transaction) -> None:
        if self._unreset:
            self._unreset = False
            self._say(b"RSET\r\n", self._on_rset, transaction)
        else:
            self._say(self._mail(transaction), self._on_mail, transaction)

    def _mail(self, transaction: Transaction) -> bytes:
        return b"%b%b\r\n" % (self._mail_from, transaction.letter.parameters)

    def _rcpt(self, transaction: Transaction) -> bytes:
        return b"RCPT TO:<%b>\r\n" % transaction.letter.path

    def _say_chunk(self, transaction: Transaction) -> None:
        body = transaction.letter.body
        self._say(b"BDAT %d LAST\r\n" % len(body), self._on_final, transaction)
        self._say_payload(body, transaction)

    def _on_rset(self, transaction: Transaction, reply: Reply) -> None:  # noqa: ARG002 - a refused RSET shows in the MAIL after it
        if self._in_step:
            self._say(self._mail(transaction), self._on_mail, transaction)

    def _on_mail(self, transaction: Transaction, reply: Reply) -> None:
        if reply[0] >= 300:
            self._refuse(transaction, Said.TO_MAIL, reply)
        elif self._in_step:
            self._say(self._rcpt(transaction), self._on_rcpt, transaction)

    def _on_rcpt(self, transaction: Transaction, reply: Reply) -> None:
        if reply[0] >= 300:
            self._refuse(transaction, Said.TO_RCPT, reply)
        elif self._in_step:
            self._say(b"DATA\r\n", self._on_data, transaction)
        if self._unproven and not self.ended:
            self._prove(transaction)

    def _prove(self, transaction: Transaction) -> None:
        """The kept connection is alive. A chunk was held back for that; DATA waits for its go-ahead anyway."""
        self._unproven = False
        if not self._chunked:
            return
        if transaction.refusal:
            self._finish(transaction, refused(*transaction.refusal))
        else:
            self._say_chunk(transaction)

    def _refuse(self, transaction: Transaction, said: Said, reply: Reply) -> None:
        if reply[0] < 400:
            self._out_of_place(transaction, reply)
            return
        transaction.refuse(said, reply)
        if self._in_step:
            self._unreset = said is Said.TO_RCPT
            self._finish(transaction, refused(said, reply))

    def _on_data(self, transaction: Transaction, reply: Reply) -> None:
        if reply[0] == _GO_AHEAD:
            self._on_go_ahead(transaction)
        elif reply[0] < 400:
            self._out_of_place(transaction, reply)
        else:
            self._unreset = True
            self._finish_refused(transaction, reply)

    def _on_go_ahead(self, transaction: Transaction) -> None:
        if transaction.refusal is None:
            self._say_body(transaction)
        elif transaction.rcpt_refused:
            # RFC 2920 §3.1: with no recipient an empty message goes nowhere, and the server says so.
            self._say(b".\r\n", self._finish_refused, transaction)
        else:
            self._finish(transaction, refused(*transaction.refusal))
            self.end("the server took a recipient of a sender that it had refused; an empty message would reach them")

    def _say_body(self, transaction: Transaction) -> None:
        if transaction.ahead and not transaction.wave.may_start():
            self._finish(transaction, _LATE)
            self.end("a message grew too old between its envelope and its body")
            return
        self._body_at = self._loop.time()
        self._expected.append((self._on_final, transaction))
        self._say_payload(dot_stuffed(transaction.letter.body), transaction)

    def _on_final(self, transaction: Transaction, reply: Reply) -> None:
        self._quick = self._loop.time() - self._body_at < QUICK_S
        if reply[0] >= 400 or transaction.rcpt_refused:
            self._finish_refused(transaction, reply)
        elif reply[0] >= 300:
            self._out_of_place(transaction, reply)
        else:
            self._finish(transaction, accepted(reply))

    def _finish_refused(self, transaction: Transaction, reply: Reply) -> None:
        self._finish(transaction, refused(*(transaction.refusal or (Said.TO_CONTENT, reply))))

    def _finish(self, transaction: Transaction, outcome: Outcome) -> None:
        self._in_flight -= 1
        self.answered += 1
        transaction.settle(outcome)

    def _out_of_place(self, transaction: Transaction, reply: Reply) -> None:
        self._expected.appendleft((self._on_final, transaction))  # still in flight, so `end` accounts for it
        self.end(f"the server sent a reply out of place: {answer(reply)}")

    def _patience_s(self) -> float:
        if not self._expected:
            return self._settings.idle_timeout_s
        handler, transaction = self._expected[0]
        if transaction.body_segment or handler == self._on_final:
            return self._settings.final_reply_timeout_s
        return self._settings.command_timeout_s

    def _timed_out(self) -> None:
        if self._expected:
            self.end(f"the server gave no reply within {self._patience_s():g} s")
        else:
            self.leave()

    def _over(self, why: str, in_flight: list[Transaction], *, all_refused: bool) -> None:
        for transaction in in_flight:
            if self._has_left(transaction) and not all_refused:
                transaction.settle(InDoubt(why))
            else:
                transaction.did_not_leave()
                transaction.tries -= self._unproven  # a kept connection that had died unnoticed is nobody's try
                self._source.give_back(transaction, why)
        self._source.ended(self, why, failed=bool(in_flight))


_LATE = NotSent("the wave's guard grew too old before the message's body was written")
