"""What a terminal shows while a file of many rows is worked on."""

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text


class _Amount(DownloadColumn):
    """How much is done, of how much: nothing while neither is known."""

    def render(self, task: Task) -> Text:
        if task.total is None and not task.completed:
            return Text()
        unit = task.fields["unit"]
        return super().render(task) if unit == "bytes" else Text(f"{task.completed:,.0f}/{task.total:,.0f} {unit}")


class _Rate(ProgressColumn):
    """Rows per second of this run."""

    def render(self, task: Task) -> Text:
        rows, elapsed_s = task.fields["rows"], task.elapsed
        return Text(f"{rows / elapsed_s:,.0f} rows/s" if rows and elapsed_s else "", style="progress.data.speed")


class _TimeLeft(TimeRemainingColumn):
    """What is left of what can be measured: the rest, when all has been read, takes its time."""

    def render(self, task: Task) -> Text:
        known = task.total is not None and task.completed < task.total
        return super().render(task) if known else Text()


class _Refused(ProgressColumn):
    def __init__(self, word: str) -> None:
        super().__init__()
        self._word = word

    def render(self, task: Task) -> Text:
        refused = task.fields["refused"]
        return Text() if refused is None else Text(f"{refused:,} {self._word}")


def row_progress(word: str) -> Progress:
    """What is done, rows per second, the time left and how many rows were refused, on standard error; only in a terminal.

    Its tasks have the fields `unit`, `rows` and `refused` (None: there is no such thing); `word` is what refused ones are called.
    """
    console = Console(stderr=True)
    return Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        _Amount(),
        _Rate(),
        _TimeLeft(),
        _Refused(word),
        console=console,
        disable=not console.is_terminal,
    )
