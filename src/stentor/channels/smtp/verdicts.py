"""What a server's reply means for the message that it answers."""

import re
from enum import Enum, unique

from stentor.channels.contract import Accepted, Deferred, Rejected
from stentor.channels.smtp.replies import CLOSING, Reply, answer

# RFC 3463 details that speak of the recipient's mailbox, and finally: unknown, bad domain, bad syntax, moved, null MX,
# disabled. Not 5.1.7 and 5.1.8 (our own address), not 5.2.2 (full), not 5.4.x (routes), never 5.7.x (policy, content).
_DEAD_ADDRESS = {"5.1.1", "5.1.2", "5.1.3", "5.1.6", "5.1.10", "5.2.1"}

# Codes that say nothing by themselves; older servers, and outlook.com with 5.5.0, put the fact into words only.
_UNSPECIFIC = {"", "5.0.0", "5.1.0", "5.5.0"}
_MAILBOX_CODES = {550, 551, 553}
_SAYS_NO_SUCH_MAILBOX = re.compile(
    r"user unknown|unknown user|no such (?:user|recipient|mailbox|person)|mailbox (?:unavailable|not found|unknown)"
    r"|(?:user|recipient|mailbox|account|address) (?:does not|doesn't|doesn’t) exist|unknown recipient"
    r"|recipient (?:unknown|not found)|(?:invalid|bad) (?:recipient|mailbox)|no mailbox",
    re.IGNORECASE,
)
_ENHANCED_CODE = re.compile(r"\d{3} ([245]\.\d{1,3}\.\d{1,3})(?!\S)")

_LOGIN_NEEDED = {530, 534, 535, 538}  # RFC 4954 §6 and RFC 3207: about our login, whatever it was said to
_MESSAGE_TOO_BIG = {552, 555}  # the two 5xx to MAIL that its SIZE or a parameter can earn, not our address

_NAMED_AFTER = re.compile(rb"queued as ([\x21-\x7e]{1,100})|\bid=([\x21-\x7e]{1,100})|^250 Ok ([\w-]{16,100})\s*$")
_ACCEPTED = Accepted()


@unique
class Said(Enum):
    """Which of our commands a refusal answered: MAIL knows our own address only, RCPT the recipient's, then the content."""

    TO_MAIL = 1
    TO_RCPT = 2
    TO_CONTENT = 3


def accepted(reply: Reply) -> Accepted:
    """With the queue id, where the reply names one in the manner of Postfix, Exim or Amazon SES."""
    text = reply[1]
    found = _NAMED_AFTER.search(text) if len(text) > 16 else None
    return Accepted(found[found.lastindex or 0].decode()) if found else _ACCEPTED


def refused(said: Said, reply: Reply) -> Deferred | Rejected:
    """4xx is "not now", 5xx is final; what speaks of us and not of the message is `sender_wide` and never final.

    A 5xx to MAIL is the same for every recipient (an envelope sender that the relay does not allow), and so is a
    missing login: failing a whole campaign for a wrong setting cannot be undone, waiting for the operator can.
    """
    code, words = reply[0], answer(reply)
    if code in _LOGIN_NEEDED or code == CLOSING:
        return Deferred(words, sender_wide=True)
    if said is Said.TO_MAIL and code not in _MESSAGE_TOO_BIG:
        return Deferred(words, sender_wide=True)
    if code < 500:
        return Deferred(words)
    return Rejected(words, bad_address=_says_dead_address(said, code, words))


def _says_dead_address(said: Said, code: int, words: str) -> bool:
    """Errs towards "no": a wrong yes bars a living address from every later message, a wrong no costs one more try."""
    found = _ENHANCED_CODE.match(words)
    status = found[1] if found else ""
    if status in _DEAD_ADDRESS:
        return said is not Said.TO_MAIL
    spoken = said is Said.TO_RCPT and code in _MAILBOX_CODES and status in _UNSPECIFIC
    return spoken and bool(_SAYS_NO_SUCH_MAILBOX.search(words))
