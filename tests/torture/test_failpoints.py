"""Failpoints: armed by a script, counted, and nothing at all when unarmed."""

import signal
import subprocess
import sys

import pytest

from stentor import failpoints
from stentor.testing.torture.sweep import failpoints as names


@pytest.mark.parametrize("script", ["wave", "wave=die@1", "wave=delay@1", "wave=delay:soon@1", "wave=kill@often"])
def test_a_script_that_cannot_be_read_is_refused(script: str):
    with pytest.raises(ValueError, match=r"wave|often|soon"):
        failpoints.arm(script)


def test_a_place_that_is_not_armed_does_nothing():
    failpoints.arm("")

    failpoints.failpoint("wave.after_commit")

    assert failpoints.hits() == {}


def test_the_environment_kills_a_process_at_the_hit_that_it_names():
    program = "from stentor.failpoints import failpoint\nfor n in range(3): print(n, flush=True); failpoint('here')"

    done = subprocess.run(
        [sys.executable, "-c", program],
        env={"STENTOR_FAILPOINTS": "elsewhere=kill@1,here=kill@2", "PYTHONPATH": ":".join(sys.path)},
        stdout=subprocess.PIPE,
        check=False,
    )

    assert done.returncode == -signal.SIGKILL
    assert done.stdout.split() == [b"0", b"1"]


def test_every_theme_has_its_boundaries():
    themes = {name.partition(".")[0] for name in names()}

    assert {"trigger", "resolve", "plan", "claim", "recover", "wave", "hand_over", "settle", "end"} <= themes
    assert {"start", "schedule", "smtp", "people", "import_end", "provider_events"} <= themes
    assert all(name.replace("before", "after") in names() for name in names() if "before_commit" in name)
