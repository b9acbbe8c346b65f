"""Who acts: the user, the key or the command line behind whatever a service is asked to change."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Literal, TypeAlias

import msgspec

ActorKind: TypeAlias = Literal["user", "key", "cli", "engine", "client"]
"""`user`: somebody who signed in. `key`: a program with an API key. `cli`: a command on a machine of the installation.
`engine`: nobody, the engine itself (a role, a schedule, the first start). `client`: a partner with a hub client."""


class Actor(msgspec.Struct, frozen=True):
    """Who acts.

    `id`: the id of the user or of the hub client, the key's number or the number of the machine's user, as text; `label`:
    what people call them (an address, a key's number and name, a user of the machine); `ip`: where from, empty where nobody
    came over a network; `request_id`: of the call that they act by, where programs call.
    """

    kind: ActorKind
    id: str = ""
    label: str = ""
    ip: str = ""
    request_id: str = ""


ENGINE = Actor("engine")

_acting: ContextVar[Actor] = ContextVar("acting", default=ENGINE)


def acting() -> Actor:
    """Who acts in this task: whoever the door named, else the engine."""
    return _acting.get()


@contextmanager
def as_actor(actor: Actor) -> Iterator[None]:
    """Whatever is done inside is done by that actor, in this task and in those that it starts."""
    before = _acting.set(actor)
    try:
        yield
    finally:
        _acting.reset(before)


def act_as(actor: Actor) -> None:
    """Whatever this task does from now on is done by that actor: for a door, whose task ends with its request."""
    _acting.set(actor)
