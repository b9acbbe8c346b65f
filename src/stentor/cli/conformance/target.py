"""Which hub is tried, as whom, and how."""

import msgspec


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """A hub, the credentials there, and the partner channel that is worked on.

    `listen` is where the kit listens and `listener_url` how the hub gets there; `wait_s` how long it waits for a campaign.
    """

    url: str
    channel: int
    username: str = ""
    password: str = ""
    key: str = ""
    listen: str = "127.0.0.1:0"
    listener_url: str = ""
    wait_s: float = 120.0
    campaign: int = 0
    attributes: tuple[str, ...] = ("Email",)
    page: int = 1_000

    def __repr__(self) -> str:
        return f"<Target {self.url} {self.channel}>"
