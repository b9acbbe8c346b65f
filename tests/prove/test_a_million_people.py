"""One call to a million people, through everything that `serve` runs."""

import json
import subprocess
import sys

import pytest

pytestmark = [pytest.mark.prove, pytest.mark.timeout(1_200)]

PEOPLE = 1_000_000
MEMORY_MAX_MB = 600


def test_a_million_people_are_accounted_for_in_bounded_memory():
    demo = subprocess.run(
        [sys.executable, "-m", "stentor", "demo", "--people", str(PEOPLE), "--exit", "--json", "--port", "0"],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )

    outcome = json.loads(demo.stdout.splitlines()[-1])
    assert outcome["audience_size"] == PEOPLE
    assert outcome["handed_over"] + sum(outcome["skipped"].values()) == PEOPLE
    assert outcome["held"] == outcome["failed"] == outcome["unknown"] == 0
    assert outcome["peak_rss_mb"] <= MEMORY_MAX_MB
