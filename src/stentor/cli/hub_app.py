"""The commands of `stentor hub`. What they do is imported when they run."""

from typing import Annotated

import typer

from stentor.cli.connectors_app import connectors_app
from stentor.cli.options import AsJson, Data, OnlyBrand, said

hub_app = typer.Typer(help="Partners, and hubs that are served.", no_args_is_help=True)
channels_app = typer.Typer(help="Partner channels, which partners execute.", no_args_is_help=True)
clients_app = typer.Typer(help="Hub clients, the credentials of partners.", no_args_is_help=True)
hub_app.add_typer(channels_app, name="channels")
hub_app.add_typer(clients_app, name="clients")
hub_app.add_typer(connectors_app, name="connectors")

Number = Annotated[int, typer.Argument(metavar="NUMBER", help="The channel's number, its ChannelID.", min=1)]
Username = Annotated[str, typer.Argument(metavar="USERNAME", help="The client's user name, or its id.")]
Channels = Annotated[
    list[str] | None,
    typer.Option(
        "--channel",
        metavar="NUMBER[=NAMES]",
        help="A partner channel, and what may be pulled there: 505=Email,Phone,tier. Again for each.",
        show_default=False,
    ),
]
Writes = Annotated[
    list[str] | None,
    typer.Option(
        "--writes",
        metavar="NUMBER=NAMES",
        help="A partner channel that is opened by --channel, and attributes that may be changed: 505=tier. Again for each.",
        show_default=False,
    ),
]


@channels_app.command("create")
def create_channel(
    name: Annotated[str, typer.Argument(metavar="NAME", help="What people know it by.")],
    channel: Annotated[
        str,
        typer.Option(
            "--channel",
            metavar="CHANNEL",
            help="email, sms, push, web_push, voice, whatsapp, in_app, webhook or external.",
        ),
    ],
    number: Annotated[
        int | None,
        typer.Option("--number", metavar="NUMBER", help="Its ChannelID.", show_default="the next free one from 501 on"),
    ] = None,
    brand: OnlyBrand = None,
    data: Data = None,
    as_json: AsJson = False,
) -> None:
    """Make a partner channel.

    Example: stentor hub channels create "SMS house" --channel sms --number 505
    """
    from stentor.cli.hub import create_channel as create

    create(said(data=data), name, channel=channel, number=number, brand=brand, as_json=as_json)


@channels_app.command("list")
def list_channels(brand: OnlyBrand = None, data: Data = None, as_json: AsJson = False) -> None:
    """List the partner channels.

    Example: stentor hub channels list --json
    """
    from stentor.cli.hub import list_channels as show

    show(said(data=data), brand=brand, as_json=as_json)


@channels_app.command("rename")
def rename_channel(
    number: Number,
    name: Annotated[str, typer.Argument(metavar="NAME", help="Its new name.")],
    brand: OnlyBrand = None,
    data: Data = None,
    as_json: AsJson = False,
) -> None:
    """Give a partner channel another name.

    Example: stentor hub channels rename 505 "SMS house, Espoo"
    """
    from stentor.cli.hub import rename_channel as rename

    rename(said(data=data), number, name, brand=brand, as_json=as_json)


@channels_app.command("delete")
def delete_channel(number: Number, brand: OnlyBrand = None, data: Data = None, as_json: AsJson = False) -> None:
    """Delete a partner channel, its templates and its apps.

    What was published for it and not pulled is skipped at its deadline.

    Example: stentor hub channels delete 505
    """
    from stentor.cli.hub import delete_channel as delete

    delete(said(data=data), number, brand=brand, as_json=as_json)


@clients_app.command("create")
def create_client(
    username: Annotated[
        str, typer.Argument(metavar="USERNAME", help="What it logs in with; unique in the installation.")
    ],
    channels: Channels = None,
    writes: Writes = None,
    name: Annotated[
        str | None,
        typer.Option("--name", metavar="NAME", help="What people call the service.", show_default="the user name"),
    ] = None,
    brand: OnlyBrand = None,
    data: Data = None,
    as_json: AsJson = False,
) -> None:
    """Make a hub client, and print its secrets this once.

    Example: stentor hub clients create sms-house --channel 505=Phone,tier
    """
    from stentor.cli.hub import create_client as create

    create(
        said(data=data),
        username,
        channels=channels or [],
        writes=writes or [],
        name=name,
        brand=brand,
        as_json=as_json,
    )


@clients_app.command("list")
def list_clients(
    all_of_them: Annotated[bool, typer.Option("--all", help="Also those that are revoked.")] = False,
    brand: OnlyBrand = None,
    data: Data = None,
    as_json: AsJson = False,
) -> None:
    """List the hub clients.

    Example: stentor hub clients list --json
    """
    from stentor.cli.hub import list_clients as show

    show(said(data=data), all_of_them=all_of_them, brand=brand, as_json=as_json)


@clients_app.command("grant")
def grant(
    client: Username,
    channels: Channels = None,
    writes: Writes = None,
    brand: OnlyBrand = None,
    data: Data = None,
    as_json: AsJson = False,
) -> None:
    """Say anew what a hub client may pull, and change.

    What is not named is closed to it; with nothing named, everything is.

    Example: stentor hub clients grant sms-house --channel 505=Phone,tier --writes 505=tier --channel 506
    """
    from stentor.cli.hub import grant_channels

    grant_channels(said(data=data), client, channels or [], writes or [], brand=brand, as_json=as_json)


@clients_app.command("rotate")
def rotate(client: Username, brand: OnlyBrand = None, data: Data = None, as_json: AsJson = False) -> None:
    """Give a hub client new secrets; the old ones end.

    Example: stentor hub clients rotate sms-house
    """
    from stentor.cli.hub import rotate_client

    rotate_client(said(data=data), client, brand=brand, as_json=as_json)


@clients_app.command("revoke")
def revoke(client: Username, brand: OnlyBrand = None, data: Data = None, as_json: AsJson = False) -> None:
    """End a hub client's credentials.

    Example: stentor hub clients revoke sms-house
    """
    from stentor.cli.hub import revoke_client

    revoke_client(said(data=data), client, brand=brand, as_json=as_json)
