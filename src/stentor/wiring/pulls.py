"""What lets partners fetch lists, put together from the core."""

from stentor.accounts.directory import BrandDirectory
from stentor.executions.facts import FactsSource
from stentor.executions.quieting import QuietSource
from stentor.integrations.pulls.asking_again import AskAgain
from stentor.integrations.pulls.clearing import (
    Unfinished,
    drop_rows,
    hand_over_sent,
)
from stentor.integrations.pulls.freezing import Freezer
from stentor.integrations.pulls.guarding import ListGuard
from stentor.integrations.pulls.handing_over import HandOver
from stentor.integrations.pulls.reserving import give_back_reservations
from stentor.integrations.pulls.runs import Runs
from stentor.integrations.pulls.service import PullService
from stentor.integrations.pulls.watching import Watcher
from stentor.wiring.core import Core
from stentor.worker.keeper import Chore


def pull_service(core: Core) -> PullService:
    """Pulls, for the doors."""
    brands = BrandDirectory(core.db)
    hand_over = HandOver(core.db)
    guard = ListGuard(core.db, brands=brands, quiet=QuietSource(brands), look_up=core.look_up)
    return PullService(
        core.db, runs(core), Freezer(core.db, guard, core.look_up, hand_over), hand_over, _ask_again(core)
    )


def watcher(core: Core) -> Watcher:
    """What finds revocations."""
    return Watcher(core.db, runs(core), core.look_up, _ask_again(core))


def _ask_again(core: Core) -> AskAgain:
    return AskAgain(core.db, core.look_up, HandOver(core.db))


def runs(core: Core) -> Runs:
    """What executions send by partner channels."""
    return Runs(core.db, FactsSource(core.publications))


def pull_chores(core: Core) -> list[Chore]:
    """What the keeper does about pulls."""
    known, hand_over = runs(core), HandOver(core.db)
    return [
        Chore("drop_pull_rows", 1.0, lambda: drop_rows(core.db)),
        Chore("give_back_reservations", 5.0, lambda: give_back_reservations(core.db)),
        Chore("hand_over_sent", 5.0, lambda: hand_over_sent(core.db, known, hand_over)),
        Chore("finish_pulled", 10.0, Unfinished(core.db, known, hand_over).finish),
    ]
