"""How often a caller may call, and how it is told where it stands."""

from stentor.api.throttle import Pace


def test_as_many_calls_as_a_second_allows_go_through_at_once_and_one_more_waits():
    pace = Pace()

    standings = [pace.take("a", 5) for _ in range(6)]

    assert [standing.remaining for standing in standings] == [4, 3, 2, 1, 0, 0]
    assert [standing.wait_s > 0 for standing in standings] == [False] * 5 + [True]
    assert 0 < standings[-1].wait_s <= 0.2
    assert standings[-1].limit == 5
    assert 0.9 < standings[-1].full_in_s <= 1


def test_each_caller_has_its_own():
    pace = Pace()
    pace.take("a", 1)

    assert pace.take("b", 1).wait_s == 0
    assert pace.take("a", 1).wait_s > 0


def test_a_refused_call_costs_nothing():
    pace = Pace()
    first = pace.take("a", 1)

    waits = [pace.take("a", 1).wait_s for _ in range(100)]

    assert max(waits) <= first.full_in_s


def test_only_so_many_callers_are_remembered():
    pace = Pace(callers_max=2)
    for caller in "abc":
        pace.take(caller, 1)

    assert pace.take("a", 1).wait_s == 0
    assert pace.take("c", 1).wait_s > 0
