"""Which service is tried, and as what hub."""

import msgspec


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """What the scripted hub is to its service: where it is, whom it lets in, and what its campaigns are like.

    `url` is a listener for `events` where the service registers none. `wait_s` is how long each step of the service may take,
    `settle_s` how long the hub listens for what is not to come, and `retry_after_s` what its 429 says.
    """

    channel: int
    username: str
    password: str
    key: str
    url: str = ""
    events: tuple[int, ...] = (13, 4)
    signing_secret: str = ""
    listen: str = "127.0.0.1:0"
    attributes: tuple[str, ...] = ("Email", "Phone", "FirstName")
    people: int = 25
    wait_s: float = 120.0
    settle_s: float = 3.0
    retry_after_s: int = 1

    def __repr__(self) -> str:
        return f"<Target {self.channel} {self.listen}>"
