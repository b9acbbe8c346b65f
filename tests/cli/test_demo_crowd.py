"""The made-up people of the demo."""

from stentor.cli.demo.crowd import Crowd


def test_it_says_how_many_lines_it_has():
    crowd = Crowd(1_000)

    blocks = [*crowd.customers(), *crowd.subscriptions("event_reminders+NFL")]

    assert crowd.lines == sum(block.count(b"\n") for block in blocks)
