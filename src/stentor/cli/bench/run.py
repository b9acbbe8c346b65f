"""`stentor bench NAME`: measures, and says on which machine."""

from collections.abc import Awaitable, Callable
from typing import TypeAlias

import msgspec
from rich.console import Console
from rich.table import Table

from stentor.cli.bench import batches, e2e, fixtures, guard, hub, importing, optouts, plan, render, smtp, start, trigger
from stentor.cli.bench.result import Measure, Result, this_machine
from stentor.cli.output import Exit, fail, print_json
from stentor.cli.premises import Premises, on_premises

Measuring: TypeAlias = Callable[[int, int], dict[str, Measure]]
"""Measures for so many people, in so many seconds where it is time that limits it."""


class Bench(msgspec.Struct, frozen=True):
    """One bench: for how many people, or lines, unless said otherwise, and how."""

    people: int
    measure: Measuring
    lines: int = 0


def _on_premises(main: Callable[[Premises, int], Awaitable[dict[str, Measure]]]) -> Measuring:
    return lambda people, _seconds: on_premises(lambda premises: main(premises, people))


BENCHES = {
    "trigger": Bench(
        trigger.PEOPLE,
        lambda people, seconds: on_premises(lambda premises: trigger.measure(premises, people, seconds)),
    ),
    "plan": Bench(plan.PEOPLE, _on_premises(plan.measure)),
    "render": Bench(render.PEOPLE, lambda people, _seconds: render.measure(people)),
    "smtp": Bench(smtp.PEOPLE, _on_premises(smtp.measure)),
    "e2e": Bench(e2e.PEOPLE, _on_premises(e2e.measure)),
    "guard": Bench(guard.PEOPLE, _on_premises(guard.measure)),
    "batches": Bench(batches.PEOPLE, _on_premises(batches.measure)),
    "hub": Bench(hub.PEOPLE, _on_premises(hub.measure)),
    "optouts": Bench(0, _on_premises(optouts.measure), lines=optouts.LINES),
    "import": Bench(importing.PEOPLE, _on_premises(importing.measure)),
    "start": Bench(0, lambda _people, _seconds: start.measure()),
}


def run_bench(name: str, *, people: int | None, lines: int | None, seconds: int | None, as_json: bool) -> None:
    """Prints the bench's measures; the command succeeds when it measured, whatever the figures."""
    bench = BENCHES.get(name)
    if bench is None:
        fail(f"There is no bench {name!r}; there are {', '.join(BENCHES)}.", Exit.USAGE)
    # Before anything starts: without a source checkout there is nothing to measure with.
    fixtures.mail()
    people = bench.people if people is None else people
    lines = bench.lines and (bench.lines if lines is None else lines)
    results = bench.measure(lines or people, trigger.SECONDS if seconds is None else seconds)
    result = Result(name, results, people, lines, this_machine())
    if as_json:
        print_json(result)
    else:
        Console().print(_drawn(result))


def _drawn(result: Result) -> Table:
    machine = result.machine
    table = Table.grid(padding=(0, 2))
    for name, measure in result.results.items():
        table.add_row(name, f"{measure.value:,}", measure.unit)
    if result.lines:
        table.add_row("lines", f"{result.lines:,}", "")
    else:
        table.add_row("people", f"{result.people:,}", "")
    table.add_row("machine", f"{machine.cores} × {machine.cpu}, {machine.memory_gb} GB, Python {machine.python}", "")
    return table
