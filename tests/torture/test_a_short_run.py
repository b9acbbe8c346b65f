"""A minute of everything at once: every line of the certificate holds, and the command's last line is the certificate."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from stentor.testing.torture.certificate import Certificate
from stentor.testing.torture.nemesis import FAULTS

# A minute of faults, and what leases, retries and a busy machine need after it.
pytestmark = pytest.mark.timeout(500)


@pytest.mark.fault("F2", "F3", "F12", "F19")
def test_a_minute_of_faults_loses_and_doubles_nobody(tmp_path: Path):
    command = [sys.executable, "-m", "stentor.testing.torture", "--seed", "49", "--minutes", "1"]

    done = subprocess.run([*command, "--folder", str(tmp_path)], stdout=subprocess.PIPE, text=True, check=False)

    said = json.loads(done.stdout.splitlines()[-1])
    assert list(said) == list(Certificate.__dataclass_fields__)
    certificate = Certificate(**said)
    assert certificate.broken == [], done.stdout
    assert set(certificate.faults) == set(FAULTS)
    assert min(certificate.faults.values()) >= 1
    assert certificate.executions > 0
    assert certificate.pulled > 0
    assert certificate.kills > 0
    assert done.returncode == 1
    assert "does not count" in done.stdout
