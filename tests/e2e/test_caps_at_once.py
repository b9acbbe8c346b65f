"""Twenty executions in one second and two rolling caps, by the relay's own times."""

from pathlib import Path

import pytest

from stentor.testing.torture.evidence import read_ledgers
from stentor.testing.torture.meeting import CAPS, EXECUTIONS, meet

PEOPLE = 800


@pytest.mark.timeout(300)
@pytest.mark.fault("F20")
def test_twenty_executions_in_the_same_second_exceed_no_cap_and_withhold_nobody_below_it(tmp_path: Path):
    verdict = meet(PEOPLE, tmp_path)

    assert verdict.certificate.broken == [], verdict.examples
    assert (verdict.certificate.executions, verdict.certificate.recipients) == (EXECUTIONS, EXECUTIONS * PEOPLE)
    messages = sum(1 for _ in read_ledgers([tmp_path / "mail.index"]))
    # The window rolled on while paced senders waited: some got more than it holds at once.
    assert CAPS[0].at_most * PEOPLE < messages <= CAPS[1].at_most * PEOPLE
