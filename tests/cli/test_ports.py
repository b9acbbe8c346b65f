import socket
from contextlib import suppress

import pytest

from command_line import run_stentor
from stentor.cli.processes import usual_port
from stentor.settings import Settings

HOST = "127.0.0.1"


def test_the_usual_port_is_left_to_whoever_has_it():
    with socket.socket() as held:
        # Somebody on this machine may hold it already, which is as good.
        with suppress(OSError):
            held.bind((HOST, Settings.model_fields["port"].default))
            held.listen()

        assert usual_port(HOST) == 0


@pytest.mark.parametrize("command", ["serve", "api", "demo", "doctor"])
def test_a_port_that_is_none_is_told_by_its_flag(command: str):
    refused = run_stentor(command, "--port", "99999")

    assert refused.exit_code == 2
    assert "--port" in refused.stderr
    assert "STENTOR_" not in refused.stderr
