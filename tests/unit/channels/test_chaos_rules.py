import random

import pytest

from stentor.channels.contract import Accepted, Deferred, InDoubt, Outcome, Rejected
from stentor.channels.sandbox.chaos import Chaos
from stentor.channels.sandbox.model import ChaosRule, Effect


def never() -> float:
    raise AssertionError("No dice are rolled for a rule that hits everybody or nobody.")


@pytest.mark.parametrize(
    ("effect", "outcome"), [("refuse", Rejected), ("defer", Deferred), ("drop", InDoubt), ("bounce", Accepted)]
)
def test_each_effect_on_hand_over_has_its_outcome(effect: Effect, outcome: type[Outcome]):
    chaos = Chaos([ChaosRule(effect)], never)

    assert isinstance(chaos.on_hand_over("ann@example.com"), outcome)


def test_without_rules_everything_is_accepted_and_nothing_reported():
    chaos = Chaos([], never)

    assert isinstance(chaos.on_hand_over("ann@example.com"), Accepted)
    assert chaos.afterwards("ann@example.com") is None
    assert not chaos.reports_afterwards


@pytest.mark.parametrize(
    ("pattern", "hit", "missed"),
    [
        ("*", ["", "ann@example.com"], []),
        ("ann@example.com", ["ann@example.com", "ANN@Example.com"], ["ann@example.co", "joann@example.com"]),
        ("*@example.com", ["ann@example.com", "@EXAMPLE.com"], ["ann@example.com.test", "ann@sub.example.net"]),
        ("bounce*", ["bounce@x", "Bounce+7@x"], ["a-bounce@x"]),
        ("a*b*c", ["abc", "axbxc", "abbc", "abcbc"], ["ab", "acb", "abca"]),
        ("a*a", ["aa", "aba"], ["a"]),
        ("*x*", ["x", "axb"], ["ab"]),
        ("ÄRGER*", ["ärger@example.com"], ["arger@example.com"]),
        ("[a-z]?*", ["[a-z]?x"], ["ab"]),
    ],
)
def test_a_star_stands_for_any_text_and_case_for_nothing(pattern: str, hit: list[str], missed: list[str]):
    chaos = Chaos([ChaosRule("refuse", recipients=pattern)], never)

    assert [address for address in hit if isinstance(chaos.on_hand_over(address), Accepted)] == []
    assert [address for address in missed if not isinstance(chaos.on_hand_over(address), Accepted)] == []


def test_a_pattern_full_of_stars_takes_no_time():
    chaos = Chaos([ChaosRule("refuse", recipients="*a" * 150 + "b")], never)

    assert isinstance(chaos.on_hand_over("a" * 320), Accepted)


def test_the_first_rule_that_hits_decides():
    rules = [ChaosRule("defer", recipients="slow@*"), ChaosRule("refuse", recipients="*@example.com")]
    chaos = Chaos(rules, never)

    assert isinstance(chaos.on_hand_over("slow@example.com"), Deferred)
    assert isinstance(chaos.on_hand_over("ann@example.com"), Rejected)


def test_a_share_hits_about_that_many_and_each_rule_rolls_its_own_dice():
    chaos = Chaos([ChaosRule("refuse", share=0.1), ChaosRule("bounce", share=0.5)], random.Random(7).random)

    accepted = sum(isinstance(chaos.on_hand_over("ann@example.com"), Accepted) for _ in range(2000))
    bounced = sum(chaos.afterwards("ann@example.com") is not None for _ in range(2000))

    assert 1740 < accepted < 1860
    assert 900 < bounced < 1100
