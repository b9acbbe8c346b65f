"""The processes of one installation: which there are, what they are told, where they listen."""

import asyncio
import gc
import os
import signal
import sys
from collections.abc import Mapping
from typing import Any, Literal

import structlog

from stentor.cli.children import Child
from stentor.cli.output import fail
from stentor.clock import boottime_s
from stentor.domain.hosts import free_address
from stentor.errors import Unavailable
from stentor.log import set_up_logging
from stentor.settings import PREFIX, Settings, unknown_among

log = structlog.get_logger()

_LISTENING_WITHIN_S = 60.0
_LOOK_EVERY_S = 0.02

# Some tens of requests' worth or two waves, a few megabytes at most.
_OBJECTS_PER_COLLECTION = 10_000


def process_settings(given: Mapping[str, Any]) -> Settings:
    """The settings of a process that runs on, logging as they say."""
    settings = Settings(**given)
    set_up_logging(settings.log_level, settings.log_format)
    if unknown := unknown_among(os.environ):
        log.warning("settings.unknown", names=unknown)
    return settings


def role_child(role: Literal["api", "worker"], settings: Settings, number: int = 1) -> Child:
    """A process that runs that role under these settings."""
    command = [sys.executable, "-P", "-m", "stentor", role]
    return Child(f"{role}-{number}", command, child_environment(settings))


def child_environment(settings: Settings) -> dict[str, str]:
    """What a process of ours is given: these settings and no others, by environment, where `ps` does not show them.

    Without a database's address it finds the embedded one by the data directory, and so keeps it running to the end of its
    own work, even when the process that started it is killed.
    """
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)}
    told = settings.model_dump(exclude_none=True, exclude={"secret"})
    if settings.secret is not None:
        told["secret"] = settings.secret.get_secret_value()
    return inherited | {f"{PREFIX}{name.upper()}": str(value) for name, value in told.items()}


def claimed_port(host: str, port: int) -> int:
    """The port, or a free one for 0. Ends the command with a sentence when it cannot be listened on."""
    try:
        return free_address(host, port)[1]
    except OSError as error:
        fail(f"{host}:{port} cannot be listened on: {error.strerror}. Choose others with --host and --port.")


def usual_port(host: str) -> int:
    """The port that documents name; 0, for any, when somebody else has it."""
    try:
        return free_address(host, Settings.model_fields["port"].default)[1]
    except OSError:
        return 0


async def until_listening(host: str, port: int) -> None:
    """Returns when something listens there. Raises Unavailable when nothing does within a minute."""
    give_up_at_s = boottime_s() + _LISTENING_WITHIN_S
    while boottime_s() < give_up_at_s:
        try:
            _, writer = await asyncio.open_connection(host, port)
        except OSError:
            await asyncio.sleep(_LOOK_EVERY_S)
        else:
            writer.close()
            return
    raise Unavailable(f"Nothing listens on {host}:{port}. Its process says above why it does not start.")


def spare_the_collector() -> None:
    """Takes all that was made until now out of the garbage collector's sight, and lets it look less often.

    Going through the modules of the whole process again and again took a tenth of a busy API's time and a sixth of a
    worker's, whose people and messages never form a cycle.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(_OBJECTS_PER_COLLECTION, 20, 20)


def stopped_by_signals() -> asyncio.Event:
    """Set when this process is told to end, by Ctrl-C or SIGTERM."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    return stop
