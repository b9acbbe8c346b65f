"""Whether anything that Stentor is made of is known to be vulnerable today."""

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.prove, pytest.mark.timeout(600)]

LOCK = Path(__file__).parents[2] / "requirements.lock"


@pytest.mark.fault("S22")
def test_no_dependency_is_known_to_be_vulnerable():
    audit = subprocess.run(
        [
            *(sys.executable, "-m", "pip_audit", "--vulnerability-service", "osv"),
            *("--disable-pip", "--require-hashes", "--requirement", LOCK, "--progress-spinner", "off"),
        ],
        capture_output=True,
        text=True,
        check=False,
    )

    # Findings go to standard output, also none; without them the service did not answer.
    if audit.returncode and not audit.stdout:
        pytest.fail(f"The vulnerability service could not be asked: {audit.stderr.strip().splitlines()[-1]}")
    assert audit.returncode == 0, audit.stdout
