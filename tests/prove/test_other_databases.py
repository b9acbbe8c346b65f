"""The same tests on the PostgreSQL and the pooler that distributions ship."""

import os
import subprocess
import sys

import pytest

pytestmark = [pytest.mark.prove, pytest.mark.timeout(1_800)]

ON_THE_DATABASE = ["tests/schema", "tests/db", "tests/api", "tests/cli/test_backup_commands.py"]


@pytest.mark.fault("F6", "F27")
def test_the_suite_passes_on_debians_postgresql(debian_server: dict[str, str]):
    suite = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-n", "auto", *ON_THE_DATABASE],
        env=os.environ | debian_server,
        capture_output=True,
        text=True,
        check=False,
    )

    assert suite.returncode == 0, suite.stdout[-20_000:]
