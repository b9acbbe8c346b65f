import socket
from contextlib import suppress

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
