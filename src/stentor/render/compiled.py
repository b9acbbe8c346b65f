"""A compiled message: bound once to an execution, then rendered once for each person."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from email.utils import format_datetime
from typing import Any, NamedTuple, TypeAlias

import msgspec

from stentor.render.errors import RenderError, TemplateInvalid
from stentor.render.frame import (
    ADDRESS,
    AT,
    BRAND,
    CONTEXT,
    CUSTOMER,
    DATE,
    ONE_CLICK,
    SEND_ID,
    SENDER,
    UNSUBSCRIBE_URL,
    Emit,
    Frame,
    Layout,
    Stage,
)
from stentor.render.limits import EMAIL_CHARS_MAX
from stentor.render.pieces import Piece, after, fold
from stentor.render.skeleton import Headline, Rendered, Skeleton

PartPieces: TypeAlias = list[tuple[str, list[Piece]]]
"""A message in the order of its bytes: runs of pieces, each with the name of the part that they come from."""
Plan: TypeAlias = Callable[[Layout], PartPieces]
"""Compiles a message's parts into a layout."""
Inspect: TypeAlias = Callable[[bytes], None]
"""Looks at a whole message and raises RenderError for one that cannot be sent."""


class MailSender(msgspec.Struct, frozen=True):
    """In whose name an e-mail goes out: the From address with its display name, and where answers go."""

    address: str
    name: str = ""
    reply_to: str = ""


class _Own(NamedTuple):
    """A place in a message that each person fills."""

    part: str
    emit: Emit


class _Shared(NamedTuple):
    """A place in a message that an execution fills for everybody."""

    part: str
    emit: Emit


class _Program:
    """The message as constants, what is known per execution, and what each person fills."""

    def __init__(self, plan: Plan, *, folding: bool) -> None:
        self.layout = Layout(folding=folding)
        self.turns: list[str | _Shared | _Own] = []
        chars = 0
        for part, pieces in plan(self.layout):
            chars += sum(len(piece) for piece in pieces if isinstance(piece, str))
            if chars > EMAIL_CHARS_MAX:
                raise TemplateInvalid(
                    part, f"Its text alone makes a message of more than {EMAIL_CHARS_MAX} characters; shorten it."
                )
            self._add(part, pieces)

    def _add(self, part: str, pieces: list[Piece]) -> None:
        waiting: list[Emit] = []
        for piece in pieces:
            if isinstance(piece, str):
                self._constant(piece)
            elif piece.silent:
                waiting.append(piece.emit)
            elif self.layout.folding and piece.stage is not Stage.PERSON:
                self.turns.append(_Shared(part, fold(piece, self.layout).emit))
            else:
                self.turns.append(_Own(part, after(waiting, piece.emit)))
                waiting = []
        if waiting:
            self.turns.append(_Own(part, after(waiting[:-1], waiting[-1])))

    def _constant(self, text: str) -> None:
        if self.turns and isinstance(self.turns[-1], str):
            self.turns[-1] += text
        else:
            self.turns.append(text)


class MessageKind(NamedTuple):
    """What distinguishes the messages of a channel."""

    inspect: Inspect | None = None
    headline: str = ""
    """The part whose text stands in lists of messages; it is compiled into one slot."""
    read_headline: Callable[[str], str] = str
    """Reads that text from how it stands in the message."""
    needs_sender: bool = False


class CompiledMessage:
    """One template version in one language, for one channel. Compiling takes milliseconds: keep it and bind it."""

    def __init__(self, plan: Plan, kind: MessageKind) -> None:
        self._plan = plan
        self._kind = kind
        self._folded = _Program(plan, folding=True)
        self._unfolded: _Program | None = None

    def bind(
        self,
        *,
        context: Mapping[str, Any],
        brand: Mapping[str, Any],
        sender: MailSender | None = None,
        one_click: bool = True,
    ) -> "BoundMessage":
        """The message of one execution: everything that its context and brand decide is computed here, once.

        `sender` is needed for e-mail (ValueError without). With `one_click` an e-mail carries List-Unsubscribe, and
        each person needs an address for it. What fails here (a context of another shape) fails again for the people
        whose message needs it, and for nobody else.
        """
        if self._kind.needs_sender and sender is None:
            raise ValueError("An e-mail has a sender; hand one over.")

        def start(program: _Program) -> Frame:
            frame = program.layout.frame()
            frame[CONTEXT], frame[BRAND], frame[SENDER], frame[ONE_CLICK] = context, brand, sender, one_click
            return frame

        frame = start(self._folded)
        try:
            self._folded.layout.execute_folds(frame)
        except Exception:  # noqa: BLE001  whatever a context does to a filter concerns only those who come to it
            return BoundMessage(self._without_folding(), start(self._without_folding()), self._kind)
        return BoundMessage(self._folded, frame, self._kind)

    def _without_folding(self) -> _Program:
        if self._unfolded is None:
            self._unfolded = _Program(self._plan, folding=False)
        return self._unfolded


class BoundMessage:
    """A message of one execution, ready to be rendered for one person after another."""

    def __init__(self, program: _Program, frame: Frame, kind: MessageKind) -> None:
        segments: list[list[str]] = [[]]
        own: list[_Own] = []
        self._headline: Headline = _no_headline
        for turn in program.turns:
            if isinstance(turn, str):
                segments[-1].append(turn)
            elif isinstance(turn, _Shared):
                segments[-1].append(turn.emit(frame))
                if turn.part == kind.headline:
                    self._headline = _shared_headline(kind.read_headline(segments[-1][-1]))
            else:
                if turn.part == kind.headline:
                    self._headline = _own_headline(kind.read_headline, len(own))
                own.append(turn)
                segments.append([])
        self.skeleton = Skeleton(["".join(segment) for segment in segments])
        self._own = own
        self._emits = [turn.emit for turn in own]
        self._frame = frame
        self._inspect = kind.inspect
        self._room = EMAIL_CHARS_MAX - self.skeleton.chars
        self._dated: tuple[datetime | None, str] = (None, "")

    def render(
        self, customer: Mapping[str, Any], *, send_id: str, address: str, at: datetime, unsubscribe_url: str = ""
    ) -> Rendered:
        """One person's message.

        `customer` holds the system fields and the attributes side by side; `at` is the moment of rendering, aware,
        which a wave shares. Raises RenderError, with the part and the reason, when this person's cannot be rendered.
        """
        frame = self._frame.copy()
        frame[CUSTOMER] = customer
        frame[SEND_ID] = send_id
        frame[ADDRESS] = address
        frame[UNSUBSCRIBE_URL] = unsubscribe_url
        frame[AT] = at
        frame[DATE] = self._date(at)
        texts: list[str] = []
        try:
            for emit in self._emits:
                texts.append(emit(frame))  # noqa: PERF401  how many there are says which part failed
        except RenderError as error:
            error.part = error.part or self._own[len(texts)].part
            raise
        except Exception as error:
            raise RenderError(_sentence(error), part=self._own[len(texts)].part) from error
        if len("".join(texts)) > self._room:  # half the time of adding up their lengths
            raise RenderError(f"the message has more than {EMAIL_CHARS_MAX} characters", limit="output_chars")
        rendered = Rendered(self.skeleton, send_id, address, texts, self._headline)
        if self._inspect is not None:
            self._inspect(rendered.wire())
        return rendered

    def _date(self, at: datetime) -> str:
        if self._dated[0] is not at:
            self._dated = (at, format_datetime(at))
        return self._dated[1]


def _sentence(error: Exception) -> str:
    return f"a value does not fit the template: {error.args[0] if error.args else type(error).__name__}"


def _no_headline(_: Sequence[str]) -> str:
    return ""


def _shared_headline(text: str) -> Headline:
    return lambda _: text


def _own_headline(read: Callable[[str], str], index: int) -> Headline:
    return lambda texts: read(texts[index])
