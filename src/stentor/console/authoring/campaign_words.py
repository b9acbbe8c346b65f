"""What a campaign's page tells of the parts that have pages of their own: its A/B test and its steps, in sentences."""

from collections.abc import Mapping, Sequence

import msgspec

from stentor.campaigns.experiments import Experiment
from stentor.campaigns.model import Campaign, Route, Step
from stentor.campaigns.steps import AllHappened, AnyHappened, StepCondition, When
from stentor.console.pages import channel_name
from stentor.console.segment_form.texts import percents

_OTHERWISE = {
    "ask": "the rest waits until somebody chooses",
    "first": "the rest gets the first arm",
    "nobody": "the rest gets nothing",
}


class StepTold(msgspec.Struct, frozen=True):
    """A step in words: when it comes, for whom, and what it says."""

    when: str
    routes: list[str]


def route_name(route: Route, names: Mapping[str, str]) -> str:
    """What a reader calls a route: its channel and its template."""
    return f"{channel_name(route.channel.label)}: {names.get(str(route.template_id), 'its template')}"


def experiment_told(experiment: Experiment | None) -> list[str]:
    """The arms with their shares, and what becomes of everybody else."""
    if experiment is None:
        return []
    told = [f"{arm.name}: {percents(arm.share)}%" for arm in experiment.arms]
    if experiment.holdout:
        told.append(f"held out, who get nothing: {percents(experiment.holdout)}%")
    winner = experiment.winner
    if winner is not None:
        told.append(
            f"the rest waits {winner.after} for the arm of which the highest share was {winner.by}; with fewer than "
            f"{winner.at_least:,} people in an arm, or a tie, {_OTHERWISE[winner.otherwise]}"
        )
    return told


def steps_told(campaign: Campaign, names: Mapping[str, str]) -> list[StepTold]:
    """Each step in its order."""
    return [_step_told(step, names) for step in campaign.steps]


def _step_told(step: Step, names: Mapping[str, str]) -> StepTold:
    whom = "for everybody who waited" if step.when is None else f"if {_happened(step.when)}"
    return StepTold(f"After {step.wait}, {whom}", [route_name(route, names) for route in step.routes])


def _happened(when: When, *, inside: bool = False) -> str:
    if isinstance(when, StepCondition):
        step = (
            "the step before" if when.step is None else "its first messages" if when.step == 0 else f"step {when.step}"
        )
        verb = "were" if when.step == 0 else "was"
        answer = f" “{when.answer}”" if when.answer else ""
        return f"{step} {verb}{'' if when.has else ' not'} {when.what}{answer}"
    joiner = " and " if isinstance(when, AllHappened) else " or "
    told = joiner.join(_happened(one, inside=True) for one in _of(when))
    told = told if isinstance(when, (AllHappened, AnyHappened)) else f"none of this: {told}"
    return f"({told})" if inside else told


def _of(when: When) -> Sequence[When]:
    return (when,) if isinstance(when, StepCondition) else when.conditions
