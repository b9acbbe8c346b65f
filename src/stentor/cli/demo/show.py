"""The demo in the terminal: the funnel as it fills, and where to look afterwards."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, Progress, TaskProgressColumn, TimeRemainingColumn
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from stentor.report.funnel import ChannelFunnel

_STATES = (
    ("handed_over", "handed over", "green"),
    ("pending", "pending", "cyan"),
    ("held", "held", "yellow"),
    ("skipped", "skipped", "bright_black"),
    ("failed", "failed", "red"),
    ("unknown", "in doubt", "magenta"),
)


class Show:
    """Draws while the demo runs; at no terminal it prints a line per step."""

    def __init__(self, *, quiet: bool) -> None:
        self._console = Console(stderr=True, quiet=quiet)
        self._live: Live | None = None

    def say(self, sentence: str) -> None:
        """A sentence of the story; in a terminal it is broken between words."""
        self._console.print(sentence, highlight=False, markup=False, soft_wrap=not self._console.is_terminal)

    def hand(self, text: str) -> None:
        """Text to copy from, with its lines as they are."""
        self._console.print(text, highlight=False, markup=False, soft_wrap=True)

    @contextmanager
    def progress(self, total: int) -> Iterator[Callable[[int], None]]:
        """A bar in a terminal, which the function that it gives moves on; it is gone at the end."""
        columns = (BarColumn(bar_width=44), TaskProgressColumn(), TimeRemainingColumn())
        with Progress(
            *columns, console=self._console, transient=True, disable=not self._console.is_terminal
        ) as progress:
            task = progress.add_task("", total=total)
            yield lambda steps: progress.advance(task, steps)

    def funnel(self, channel: ChannelFunnel | None, seconds: float, status: str) -> None:
        """The numbers as they are now."""
        if channel is None or not self._console.is_terminal:
            return
        if self._live is None:
            self._live = Live(console=self._console, refresh_per_second=10, transient=False)
            self._live.start()
        self._live.update(_drawn(channel, seconds, status))

    def end(self) -> None:
        """Leaves the last picture standing."""
        if self._live is not None:
            self._live.stop()
            self._live = None


def _drawn(channel: ChannelFunnel, seconds: float, status: str) -> Group:
    table = Table.grid(padding=(0, 2))
    table.add_column(justify="left")
    table.add_column(justify="right")
    table.add_column(justify="right", style="bright_black")
    table.add_column(width=44)
    for name, label, colour in _STATES:
        count = getattr(channel, name)
        if count or name in {"handed_over", "skipped"}:
            share = count / channel.audience if channel.audience else 0.0
            bar = ProgressBar(total=1.0, completed=share, width=44, complete_style=colour, finished_style=colour)
            table.add_row(label, f"{count:,}", f"{share:.1%}", bar)
    for reason, count in sorted(channel.skipped_by_reason.items(), key=lambda item: -item[1]):
        table.add_row(Text(f"  {reason}", style="bright_black"), f"{count:,}", "", "")
    head = Text.assemble(
        (f"{channel.audience:,}", "bold"), " people opted in   ", (status, "bold cyan"), f"   {seconds:5.1f} s"
    )
    return Group(Text(), head, table)
