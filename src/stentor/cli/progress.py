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


class _Rate(ProgressColumn):
    """Rows per second of this run."""

    def render(self, task: Task) -> Text:
        rows, elapsed_s = task.fields["rows"], task.elapsed
        return Text(f"{rows / elapsed_s:,.0f} rows/s" if rows and elapsed_s else "", style="progress.data.speed")


def row_progress(refused: str) -> Progress:
    """Bytes, rows per second, the time left and how many rows were refused, on standard error; nothing but in a terminal.

    Its tasks have the fields `rows` and `refused`; `refused` is the word for those.
    """
    console = Console(stderr=True)
    return Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        _Rate(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[refused]:,} " + refused),
        console=console,
        disable=not console.is_terminal,
    )
