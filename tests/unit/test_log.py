"""Every line of the log is one event, whoever has something to say."""

import json
import subprocess
import sys

COMPLAIN = """
import logging
import structlog
from stentor.log import set_up_logging

set_up_logging("info", "FORM")
structlog.get_logger().info("wave.settled", sends=3)
pool = logging.getLogger("psycopg.pool")
pool.info("nobody asked")
pool.warning("error connecting in %r: two\\nlines", "pool-1")
token = "s3cret-" + "token"
try:
    1 / 0
except ZeroDivisionError:
    pool.exception("broken")
"""


def test_what_libraries_say_is_json_too():
    lines = [json.loads(line) for line in logged("json")]

    assert [(line["level"], line["event"]) for line in lines] == [
        ("info", "wave.settled"),
        ("warning", "error connecting in 'pool-1': two lines"),
        ("error", "broken"),
    ]
    assert all(line["timestamp"].endswith("Z") for line in lines)
    assert lines[1]["logger"] == "psycopg.pool"
    assert "ZeroDivisionError" in lines[2]["exception"]


def test_what_libraries_say_has_a_line_of_its_own_on_a_console():
    assert sum("two lines" in line for line in logged("console")) == 1


def test_no_traceback_shows_what_a_variable_held():
    for form in ("console", "json"):
        said = "\n".join(logged(form))
        assert "ZeroDivisionError" in said
        assert "s3cret-token" not in said


def logged(form: str) -> list[str]:
    """What a process of its own, whose logging nobody else set up, says on standard error."""
    command = [sys.executable, "-c", COMPLAIN.replace("FORM", form)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stderr.splitlines()
