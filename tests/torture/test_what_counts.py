"""When a certificate holds, when its run counts, and what the command makes of either."""

from dataclasses import replace

import pytest

from stentor.testing.torture.certificate import (
    KILLS_ON_WIRE_MIN,
    PULLED_PER_MINUTE_MIN,
    RECIPIENTS_PER_MINUTE_MIN,
    STRIKES_MIN,
    Certificate,
)
from stentor.testing.torture.run import tell
from stentor.testing.torture.verdict import Verdict

MINUTES = 5
ENOUGH = Certificate(
    seed=7,
    kills=100,
    kills_on_wire=KILLS_ON_WIRE_MIN,
    executions=100,
    recipients=RECIPIENTS_PER_MINUTE_MIN * MINUTES,
    pulled=PULLED_PER_MINUTE_MIN * MINUTES,
    revoked=50,
    lost=0,
    doubled=0,
    unknown=8,
    unknown_allowed=8,
    opted_out_contacted=0,
    cap_violations=0,
    quiet_violations=0,
    wrongly_withheld=0,
    unbalanced=0,
    resent=5,
    faults={"kill_api": STRIKES_MIN, "http_silent": STRIKES_MIN},
)


def test_a_run_with_just_enough_of_everything_counts_and_holds(capsys: pytest.CaptureFixture[str]):
    assert exit_code(ENOUGH) == 0
    assert capsys.readouterr().out.splitlines()[-1] == ENOUGH.json()


@pytest.mark.parametrize(
    ("certificate", "why"),
    [
        (replace(ENOUGH, recipients=ENOUGH.recipients - 1), "99999 recipients of 100000"),
        (replace(ENOUGH, pulled=ENOUGH.pulled - 1), "2499 people pulled of 2500"),
        (replace(ENOUGH, kills_on_wire=19), "19 kills with bytes on the wire of 20"),
        (replace(ENOUGH, faults={"kill_api": 3, "http_silent": 2}), "http_silent struck 2 times of 3"),
        (replace(ENOUGH, faults={"kill_api": 0, "http_silent": 3}), "kill_api struck 0 times of 3"),
    ],
)
def test_a_run_that_proves_too_little_is_refused_with_the_reason(
    certificate: Certificate, why: str, capsys: pytest.CaptureFixture[str]
):
    assert exit_code(certificate) == 1
    assert certificate.broken == []
    assert f"does not count: {why}" in capsys.readouterr().out.splitlines()


@pytest.mark.parametrize(
    ("line", "certificate"),
    [
        ("lost", replace(ENOUGH, lost=1)),
        ("doubled", replace(ENOUGH, doubled=1)),
        ("unknown", replace(ENOUGH, unknown=ENOUGH.unknown_allowed + 1)),
        ("opted_out_contacted", replace(ENOUGH, opted_out_contacted=1)),
        ("cap_violations", replace(ENOUGH, cap_violations=1)),
        ("quiet_violations", replace(ENOUGH, quiet_violations=1)),
        ("wrongly_withheld", replace(ENOUGH, wrongly_withheld=1)),
        ("unbalanced", replace(ENOUGH, unbalanced=1)),
    ],
)
def test_a_line_that_does_not_hold_is_marked_and_explained_and_the_run_fails(
    line: str, certificate: Certificate, capsys: pytest.CaptureFixture[str]
):
    assert exit_code(certificate) == 1
    said = capsys.readouterr().out.splitlines()
    assert [row.split()[0] for row in said if row.endswith("   does not hold")] == [line]
    assert f"{line}: somebody" in said


def exit_code(certificate: Certificate) -> int:
    return tell(Verdict(certificate, MINUTES, {line: ["somebody"] for line in certificate.broken}))
