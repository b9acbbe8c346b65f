"""A message as one SMTP transaction."""

from stentor.channels.contract import Message
from stentor.channels.open_waves import GivenOut, OpenWave
from stentor.channels.smtp.envelope import Letter
from stentor.channels.smtp.replies import Reply
from stentor.channels.smtp.verdicts import Said


class Transaction(GivenOut):
    """One message on one connection: what was refused of it so far, and how much of it has left this process."""

    __slots__ = ("ahead", "body_segment", "letter", "rcpt_refused", "refusal", "tries")

    letter: Letter

    def __init__(self, wave: OpenWave[GivenOut], index: int, message: Message) -> None:
        super().__init__(wave, index, message)
        self.tries = 0
        self.begin()

    def begin(self) -> None:
        """Nothing of it is on the connection that takes it now."""
        self.tries += 1
        self.refusal: tuple[Said, Reply] | None = None
        self.rcpt_refused = False
        self.ahead = False
        self.body_segment = 0

    def refuse(self, said: Said, reply: Reply) -> None:
        """Keeps the first refusal: the later ones only follow from it (503, "need RCPT first")."""
        self.rcpt_refused = self.rcpt_refused or said is Said.TO_RCPT
        if self.refusal is None:
            self.refusal = said, reply
