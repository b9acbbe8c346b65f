"""What goes wrong with a template: when it is published, and when one person's values meet it."""

from stentor.domain.vocabulary import Reason
from stentor.errors import Invalid, Violation


class TemplateInvalid(Invalid):
    """A template that cannot be published; `violations` name the part (`/parts/html`) and the sentence says what to do."""

    code = "template-invalid"
    title = "The template cannot be used"

    def __init__(self, part: str, message: str, *, line: int | None = None) -> None:
        where = f"{part}, line {line}" if line is not None else part
        violation = Violation(f"/parts/{part}", "template-invalid", message)
        super().__init__(f"{where}: {message}", violations=[violation])
        self.part = part
        self.message = message
        self.line = line


class RenderError(Exception):
    """One person's message could not be rendered; everybody else's goes on.

    `part` names the part of the template, `limit` the limit that was passed (empty when it was none), and `reason` is
    what the send records.
    """

    def __init__(
        self, message: str, *, part: str = "", limit: str = "", reason: Reason = Reason.TEMPLATE_ERROR
    ) -> None:
        super().__init__(message)
        self.message = message
        self.part = part
        self.limit = limit
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.part}: {self.message}" if self.part else self.message
