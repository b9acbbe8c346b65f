"""The same twenty executions as in the suite, before ten thousand people."""

from pathlib import Path

import pytest

from stentor.testing.torture.meeting import EXECUTIONS, meet

pytestmark = [pytest.mark.prove, pytest.mark.timeout(600)]

PEOPLE = 10_000


@pytest.mark.fault("F20")
def test_ten_thousand_people_get_what_two_caps_allow_and_no_less(tmp_path: Path):
    verdict = meet(PEOPLE, tmp_path)

    assert verdict.certificate.broken == [], verdict.examples
    assert verdict.certificate.recipients == EXECUTIONS * PEOPLE
