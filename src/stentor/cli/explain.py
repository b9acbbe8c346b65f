"""Why one person did or did not get a message, told in the terminal."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from uuid import UUID

import msgspec
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from stentor.cli.installation import brand_named, with_core
from stentor.cli.output import Exit, fail, print_json
from stentor.executions.explaining import ChannelExplanation, Check, Explanation
from stentor.integrations.pulls.model import PullTrace, Revocation
from stentor.wiring.core import Core, accounts
from stentor.wiring.services import services

_EXECUTION_ID = re.compile(
    r"(?:exec-)?([0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12})", re.IGNORECASE
)
_MARKS = {"passed": "[green]✓[/]", "objected": "[red]✗[/]", "not_reached": "[bright_black]·[/]"}
_UNSAID = {"not_reached": "[bright_black]not reached[/]"}


def explain_person(
    given: Mapping[str, Any], execution: str, external_id: str, *, brand: str | None, as_json: bool
) -> None:
    """Prints the story of one person in one execution, whose id is written as any API of ours writes it.

    Without `brand` it is the one whose execution that is.
    """
    named = _EXECUTION_ID.fullmatch(execution)
    if named is None:
        fail(f"{execution!r} is no execution's id; it looks like exec-0198… or 0198…-….", Exit.USAGE)
    execution_id = UUID(named[1])

    async def act(core: Core) -> None:
        executions = services(core).executions
        if brand is None:
            owner_id = (await executions.origin(execution_id)).brand_id
        else:
            owner_id = (await brand_named(accounts(core), brand)).id
        story = await executions.explain(owner_id, execution_id, external_id)
        pulls = services(core).pulls
        fetched = await pulls.trace(owner_id, execution_id, story.customer_id)
        revoked = await pulls.revoked(owner_id, execution_id, story.customer_id) if fetched else {}
        if as_json:
            told = {"fetched": fetched, "revocations": list(revoked.values())}
            print_json({**msgspec.structs.asdict(story), **told} if fetched else story)
        else:
            _tell(story)
            for line in _fetches(fetched, revoked):
                Console().print(line, markup=False, highlight=False, soft_wrap=True)

    with_core(given, act)


def _tell(story: Explanation) -> None:
    console = Console()
    if story.outside:
        console.print(f"{story.external_id}: {story.outside}", markup=False, highlight=False, soft_wrap=True)
    if story.forgotten:
        console.print(story.forgotten, markup=False, highlight=False, soft_wrap=True)
    for channel in story.channels:
        console.print(f"{story.external_id} on {channel.channel}: {_fate(channel)}", markup=False, highlight=False)
        console.print(_checks(channel))
        for line in _rest(channel):
            console.print(f"  {line}", markup=False, highlight=False, soft_wrap=True)


def _fetches(fetched: Sequence[PullTrace], revoked: Mapping[int, Revocation]) -> Iterator[str]:
    for one in fetched:
        if one.asked_at is None:
            yield f"on the list of {one.puller} for channel {one.channel_number}, at {one.position}; not fetched yet"
        else:
            handed_over = f"handed over {one.handed_over_at:%H:%M:%S}" if one.handed_over_at else "not acknowledged"
            yield f"fetched by {one.puller} for channel {one.channel_number}, {one.asked_at:%Y-%m-%d %H:%M:%S} UTC: {handed_over}"
    for number, said in revoked.items():
        yield f"revoked for channel {number}: {said.reason.label} ({said.at:%Y-%m-%d %H:%M:%S} UTC)"


def _fate(channel: ChannelExplanation) -> str:
    reason = f", {channel.reason}" if channel.reason else ""
    until = f", until {channel.held_until:%Y-%m-%d %H:%M:%S} UTC" if channel.held_until else ""
    return f"{channel.state}{reason}{until} ({channel.decided_at:%Y-%m-%d %H:%M:%S} UTC)"


def _checks(channel: ChannelExplanation) -> Table:
    table = Table.grid(padding=(0, 0, 0, 2), pad_edge=True)
    for check in channel.checks:
        said = escape(": ".join(filter(None, (check.reason, check.detail))))
        table.add_row(_MARKS[check.outcome], check.name, (said or _UNSAID.get(check.outcome, "")) + _certainty(check))
    return table


def _certainty(check: Check) -> str:
    """What is to be said of an answer that is not found again by what is kept."""
    if check.differs:
        return " [bold red](differs: made again, it comes to something else)[/]"
    return " [bright_black](as stored)[/]" if check.outcome == "objected" and not check.replayed else ""


def _rest(channel: ChannelExplanation) -> Iterator[str]:
    if channel.when is not None:
        yield f"route {channel.route}, because its condition held: {msgspec.json.encode(channel.when).decode()}"
    yield f"template {channel.template!r}, version {channel.template_version}, in {channel.language}"
    yield "1 attempt" if channel.tries == 1 else f"{channel.tries} attempts"
    if channel.doubts:
        yield f"{channel.doubts} of them in doubt: perhaps accepted, the reply was lost"
    for answer in channel.answers:
        yield f"{answer.at:%H:%M:%S} {answer.kind}: {answer.answer}"
