"""From what a channel answered to what each send becomes. Pure: the deliverer writes it down."""

import random
from collections.abc import Iterable

import msgspec

from stentor.channels.contract import Accepted, Deferred, InDoubt, NotSent, Outcome, Rejected
from stentor.deliver.model import Answer, Change, PendingSend
from stentor.deliver.retrying import retry_delay_s
from stentor.domain.vocabulary import Reason, SendState


class Settlement(msgspec.Struct):
    """What becomes of a wave's sends.

    `handed_over`, `changes` and `staying` hold each send exactly once. `dead` are those whose address the provider called
    dead, `in_doubt` those that it perhaps accepted; `sender_answer` is set when the sender as a whole could not be used.
    """

    handed_over: list[PendingSend] = msgspec.field(default_factory=list)
    changes: list[Change] = msgspec.field(default_factory=list)
    staying: list[PendingSend] = msgspec.field(default_factory=list)
    answers: list[Answer] = msgspec.field(default_factory=list)
    dead: list[PendingSend] = msgspec.field(default_factory=list)
    in_doubt: list[PendingSend] = msgspec.field(default_factory=list)
    sender_answer: Deferred | None = None


def settle(
    answered: Iterable[tuple[PendingSend, Outcome]], *, resend_in_doubt: bool, jitter: random.Random
) -> Settlement:
    """Sorts a wave's outcomes. `resend_in_doubt`: the sender's policy for what may or may not have been accepted."""
    settlement = Settlement()
    for send, outcome in answered:
        match outcome:
            case Accepted():
                settlement.handed_over.append(send)
            case NotSent():
                settlement.staying.append(send)
            case Deferred(sender_wide=True):
                settlement.sender_answer = outcome
                settlement.staying.append(send)
            case Deferred():
                settlement.answers.append(Answer(send, "deferred", outcome.answer))
                settlement.changes.append(_try_again(send, outcome.retry_after_s, jitter))
            case Rejected():
                settlement.answers.append(Answer(send, "rejected", outcome.answer))
                settlement.changes.append(Change.final(send, SendState.FAILED, Reason.PROVIDER_REJECTED))
                if outcome.bad_address:
                    settlement.dead.append(send)
            case InDoubt():
                settlement.answers.append(Answer(send, "in_doubt", outcome.answer))
                settlement.in_doubt.append(send)
                settlement.changes.append(
                    _try_again(send, None, jitter, doubted=True)
                    if resend_in_doubt
                    else Change(send, SendState.UNKNOWN, doubted=True)
                )
    return settlement


def _try_again(
    send: PendingSend, retry_after_s: float | None, jitter: random.Random, *, doubted: bool = False
) -> Change:
    delay_s = retry_delay_s(send.tries + 1, retry_after_s, jitter=jitter)
    if delay_s is None:
        return Change.final(send, SendState.FAILED, Reason.RETRIES_EXHAUSTED, doubted=doubted)
    return Change(send, SendState.PENDING, doubted=doubted, retry_after_s=delay_s)
