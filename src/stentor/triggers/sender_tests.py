"""Tests of senders: one message by one sender to one of the brand's test recipients, and what was answered."""

import asyncio
from collections.abc import Callable, Mapping
from typing import Literal, TypeAlias
from uuid import UUID

import msgspec

from stentor.accounts.audit import record
from stentor.accounts.limits import RateLimiter, least_left, limit_of_test_sends
from stentor.accounts.model import Brand
from stentor.accounts.test_recipients import checked_recipients
from stentor.campaigns.content import brand_fields
from stentor.campaigns.publishing import SANDBOX_ADDRESS
from stentor.campaigns.test_content import SUBJECT_MARK
from stentor.channels.at_work import OpenChannels
from stentor.channels.contract import Accepted, Deferred, InDoubt, NotSent, Outcome, Recorder, Rejected, Wave
from stentor.channels.model import Sender
from stentor.channels.public_address import Reach
from stentor.channels.service import SenderService
from stentor.clock import Clock, boottime_s
from stentor.db.pool import Database
from stentor.domain.address import PHONE_CHANNELS
from stentor.domain.ids import SendIds, customer_id, new_id
from stentor.domain.vocabulary import ChannelKind, Lane
from stentor.errors import Conflict, Invalid, RateLimited
from stentor.optouts.entry_service import EntryService
from stentor.render.compiled import MailSender
from stentor.render.messages import compile_message
from stentor.render.skeleton import Rendered

WITHIN_S_MAX = 20
"""Seconds that a sender has for its answer."""

Fate: TypeAlias = Literal["accepted", "deferred", "rejected", "in_doubt"]

_TEXT = "This is a test of the sender {{ context.sender }}. Whoever asked for it sees in the console what the sender answered."
_PARTS: Mapping[ChannelKind, Mapping[str, str]] = {
    ChannelKind.EMAIL: {
        "subject": f"{SUBJECT_MARK}{{{{ context.sender }}}}",
        "html": f"<p>{_TEXT}</p>",
        "text": _TEXT,
    },
    ChannelKind.SMS: {"text": _TEXT},
    ChannelKind.WHATSAPP: {"text": _TEXT},
    ChannelKind.VOICE: {"script": _TEXT},
    ChannelKind.PUSH: {"title": "Test", "body": _TEXT},
    ChannelKind.WEB_PUSH: {"title": "Test", "body": _TEXT},
    ChannelKind.IN_APP: {"title": "Test", "body": _TEXT},
    ChannelKind.WEBHOOK: {"body": '{"test": true, "sender": {{ context.sender }}}'},
}
# Sandboxes of channels that nobody has a test address on take any.
_NOBODY = "nobody@sandbox.invalid"


class SenderTested(msgspec.Struct, frozen=True):
    """What became of a test: `answer` are the provider's words, or why there are none. `inbox_id`: by which the inbox has it."""

    fate: Fate
    answer: str
    to: str
    milliseconds: int
    inbox_id: str | None


class SenderTestService:
    """Tests senders from this process. What it sends is in no execution, counts nowhere, and waits for no worker."""

    def __init__(
        self,
        db: Database,
        senders: SenderService,
        open_channels: Callable[[], OpenChannels],
        *,
        reach: Reach,
        entries: EntryService,
        limiter: RateLimiter,
        send_ids: SendIds,
    ) -> None:
        self._db = db
        self._senders = senders
        self._open_channels = open_channels
        self._reach = reach
        self._entries = entries
        self._limiter = limiter
        self._send_ids = send_ids

    async def send(self, brand: Brand, sender_id: UUID, to: str, *, is_test: bool = False) -> SenderTested:
        """Hands one message over by the sender, paused or switched off as it may be, and waits up to 20 s for the answer.

        `to` is an address of a test recipient; it may be empty for a sandbox, and for a webhook, whose message names nobody. Raises
        NotFound; Invalid for an address that is no confirmed test recipient, or none of the sender's channel; Conflict for an
        address on an opt-out list, for a partner channel's sender, and for a sender to people where a test key asks (`is_test`);
        NotReachable; RateLimited after ten tests of the brand in a minute.
        """
        sender = await self._senders.get(brand.id, sender_id)
        if sender.kind == "listener":
            raise Conflict("An outside service pulls what goes out by this sender, so there is nothing to try here.")
        if is_test and sender.reaches_people:
            raise Conflict("A test key sends nothing to people: this sender reaches them. Use another key.")
        self._reach.check(sender.kind, sender.settings)
        address = await self._address(brand, sender, to.strip())
        least = least_left(await self._limiter.take([limit_of_test_sends(brand)]))
        if least.is_over:
            text = f"Senders and campaigns of a brand are tested {least.limit.at_most} times a minute at most. Wait a little."
            raise RateLimited(text, retry_after_s=least.retry_after_s)
        message = self._message(brand, sender, address)
        began_s = boottime_s()
        outcome = await self._handed_over(sender, message)
        took = round((boottime_s() - began_s) * 1000)
        fate, answer = _said(outcome)
        tested = SenderTested(
            fate, answer, address, took, message.send_id if sender.kind == "sandbox" and fate == "accepted" else None
        )
        async with self._db.transaction() as conn:
            told = {"to": address, "fate": fate, "answer": answer}
            await record(conn, "sender.tested", sender_id, brand_id=brand.id, after=told)
        return tested

    async def _address(self, brand: Brand, sender: Sender, to: str) -> str:
        if not to and (sender.kind == "sandbox" or sender.channel is ChannelKind.WEBHOOK):
            return _NOBODY
        is_mail = "@" in to
        takes_it = sender.channel is ChannelKind.EMAIL if is_mail else bool(sender.channel.bit & PHONE_CHANNELS)
        if not takes_it and sender.channel is not ChannelKind.WEBHOOK:
            wanted = "an e-mail address" if sender.channel is ChannelKind.EMAIL else "a phone number"
            raise Invalid.field("/to", "no-address", f"Name {wanted} of a test recipient: this sender goes there.")
        async with self._db.read() as conn:
            (recipient,) = await checked_recipients(conn, brand, [to])
        if sender.reaches_people and recipient.confirmed_at is None:
            text = "Whoever reads this address has not agreed yet: confirm it with the code that was mailed there."
            raise Invalid.field("/to", "unconfirmed", text)
        channel = ChannelKind.EMAIL if is_mail else ChannelKind.SMS
        if await self._entries.find_everywhere(brand.id, recipient.address, channel):
            raise Conflict("This address is on an opt-out list of the brand, which holds for tests, too.")
        return recipient.address

    def _message(self, brand: Brand, sender: Sender, address: str) -> Rendered:
        settings = brand.settings
        bound = compile_message(sender.channel, _PARTS[sender.channel], {}).bind(
            context={"sender": sender.name},
            brand=brand_fields(brand),
            sender=MailSender(settings.from_address or SANDBOX_ADDRESS, settings.from_name),
            one_click=False,
        )
        send_id = self._send_ids.encode(new_id(), customer_id(brand.id, "sender test"), sender.channel)
        return bound.render({}, send_id=send_id, address=address, at=Clock(self._db.shift).now())

    async def _handed_over(self, sender: Sender, message: Rendered) -> Outcome:
        wave = Wave(sender.brand_id, sender.id, sender.channel, Lane.TRANSACTIONAL, lambda: True)
        channels = self._open_channels()
        try:
            async with asyncio.timeout(WITHIN_S_MAX), channels.open_channel(sender) as channel:
                (outcome,) = await channel.hand_over(wave, [message])
                if isinstance(channel, Recorder) and isinstance(outcome, Accepted):
                    async with self._db.transaction() as conn:
                        await channel.record(conn, wave, [message])
                return outcome
        except TimeoutError:
            return InDoubt(f"There was no answer within {WITHIN_S_MAX} seconds.")
        finally:
            await channels.aclose()


def _said(outcome: Outcome) -> tuple[Fate, str]:
    match outcome:
        case Accepted(provider_id=name):
            return "accepted", name
        case Deferred(answer=answer):
            return "deferred", answer
        case Rejected(answer=answer):
            return "rejected", answer
        case InDoubt(answer=answer):
            return "in_doubt", answer
        case NotSent(why=why):
            return "deferred", why
