"""`stentor conformance …`: whether a hub does what its clients need, and a service what its hubs need."""

from typing import Annotated

import typer

from stentor.cli.options import AsJson

conformance_app = typer.Typer(
    help="Try either end of the channel-integration API.", no_args_is_help=True, rich_markup_mode=None
)


@conformance_app.callback()
def _group() -> None:
    """Try either end of the channel-integration API."""


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
        attributes=_names(attributes),
        page=page,
    )
    try_hub(target, as_json=as_json)


@conformance_app.command()
def service(
    url: Annotated[
        str,
        typer.Argument(
            metavar="URL", help="Its listener, where it registers none within the time.", show_default=False
        ),
    ] = "",
    channel: Annotated[
        int, typer.Option("--channel", metavar="NUMBER", min=1, help="The ChannelID that it executes.")
    ] = 505,
    listen: Annotated[
        str, typer.Option("--listen", metavar="HOST:PORT", help="Where the kit's hub is.")
    ] = "127.0.0.1:8098",
    username: Annotated[str, typer.Option("--username", metavar="NAME", help="What the service logs in with.")] = "kit",
    password: Annotated[
        str,
        typer.Option(
            "--password",
            metavar="PASSWORD",
            envvar="HUB_PASSWORD",
            help="Its password.",
            show_default="made up, and said",
        ),
    ] = "",
    key: Annotated[
        str,
        typer.Option(
            "--key",
            metavar="KEY",
            envvar="HUB_KEY",
            help="The X-API-KEY that it may send instead.",
            show_default="made up, and said",
        ),
    ] = "",
    signing_secret: Annotated[
        str,
        typer.Option(
            "--signing-secret",
            metavar="SECRET",
            envvar="HUB_SIGNING_SECRET",
            help="What notices are signed with, whsec_...",
            show_default="they are not signed",
        ),
    ] = "",
    events: Annotated[
        str, typer.Option("--events", metavar="NUMBERS", help="EventTypeIDs that URL listens to, joined by ;.")
    ] = "13;4",
    attributes: Annotated[
        str, typer.Option("--attributes", metavar="NAMES", help="Attributes that it may fetch, joined by ;.")
    ] = "Email;Phone;FirstName",
    people: Annotated[
        int, typer.Option("--people", metavar="COUNT", min=1, max=100_000, help="Whom the campaign is for.")
    ] = 25,
    wait_s: Annotated[
        float, typer.Option("--wait", metavar="SECONDS", min=1, help="How long each step of the service may take.")
    ] = 120.0,
    as_json: AsJson = False,
) -> None:
    """Try a service as a hub does: be joined, notify it, be asked, and be told.

    Serves a small hub. Point the service there, with a sandbox behind it: it is given a campaign for invented people, told of it three
    times, and of one that is unknown and one that is cancelled; the hub has a 429, a 403 and a 500 for it on the way. Exits with 1
    where a check failed, and with 3 where no service came.

    Example: stentor conformance service --channel 505 --username me
    """
    from stentor.cli.conformance.service.run import Target, try_service

    if any(not each.strip().isdigit() for each in events.split(";")):
        raise typer.BadParameter("say numbers with ; between them, like 13;4.", param_hint="--events")
    target = Target(
        url=url,
        channel=channel,
        listen=listen,
        username=username,
        password=password,
        key=key,
        signing_secret=signing_secret,
        events=tuple(int(each) for each in events.split(";")),
        attributes=_names(attributes),
        people=people,
        wait_s=wait_s,
    )
    try_service(target, as_json=as_json)


def _names(text: str) -> tuple[str, ...]:
    return tuple(name for each in text.split(";") if (name := each.strip()))
