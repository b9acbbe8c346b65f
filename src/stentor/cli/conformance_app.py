"""`stentor conformance …`: whether a hub does what its clients need."""

from typing import Annotated

import typer

from stentor.cli.options import AsJson

conformance_app = typer.Typer(
    help="Try the API of a hub as its partners use it.", no_args_is_help=True, rich_markup_mode=None
)


@conformance_app.callback()
def _group() -> None:
    """Try the API of a hub as its partners use it."""


@conformance_app.command()
def hub(
    url: Annotated[str, typer.Argument(metavar="URL", help="Where the hub is, without /current.", show_default=False)],
    channel: Annotated[
        int,
        typer.Option("--channel", metavar="NUMBER", min=1, help="The ChannelID to work on.", show_default=False),
    ],
    username: Annotated[
        str, typer.Option("--username", metavar="NAME", help="What to log in with.", show_default=False)
    ] = "",
    password: Annotated[
        str,
        typer.Option(
            "--password",
            metavar="PASSWORD",
            envvar="HUB_PASSWORD",
            help="Its password.",
            show_default=False,
        ),
    ] = "",
    key: Annotated[
        str,
        typer.Option("--key", metavar="KEY", envvar="HUB_KEY", help="An X-API-KEY.", show_default=False),
    ] = "",
    listen: Annotated[
        str, typer.Option("--listen", metavar="HOST:PORT", help="Where the kit listens for notifications.")
    ] = "127.0.0.1:0",
    listener_url: Annotated[
        str,
        typer.Option(
            "--listener-url",
            metavar="URL",
            help="How the hub reaches that.",
            show_default="http:// and where the kit listens",
        ),
    ] = "",
    wait_s: Annotated[
        float,
        typer.Option("--wait", metavar="SECONDS", min=0, help="How long to wait for a campaign; 0: not at all."),
    ] = 120.0,
    campaign: Annotated[
        int,
        typer.Option(
            "--campaign", metavar="NUMBER", min=0, help="A CampaignID that can be pulled already.", show_default=False
        ),
    ] = 0,
    attributes: Annotated[
        str, typer.Option("--attributes", metavar="NAMES", help="Attributes that may be pulled, joined by ;.")
    ] = "Email",
    page: Annotated[int, typer.Option("--page", metavar="ROWS", min=1, help="Rows of a page that is pulled.")] = 1_000,
    as_json: AsJson = False,
) -> None:
    """Try a hub as a partner does: log in, listen, sync, pull and report.

    Publish a campaign by that channel while the kit waits, or name one. What the kit adds it takes away, and listeners that were
    there are registered again at the end; the totals and the one delivery that it reports stay. Exits with 1 where a check failed.

    Example: stentor conformance hub https://hub.example.org --channel 505 --username me
    """
    from stentor.cli.conformance.run import Target, try_hub

    target = Target(
        url=url,
        channel=channel,
        username=username,
        password=password,
        key=key,
        listen=listen,
        listener_url=listener_url,
        wait_s=wait_s,
        campaign=campaign,
        attributes=tuple(name for each in attributes.split(";") if (name := each.strip())),
        page=page,
    )
    try_hub(target, as_json=as_json)
