"""The commands of `stentor hub connectors`. What they do is imported when they run."""

from typing import Annotated

import typer

from stentor.cli.options import AsJson, Data, OnlyBrand, said

connectors_app = typer.Typer(help="Hubs for which this brand is the service.", no_args_is_help=True)

Named = Annotated[str, typer.Argument(metavar="CONNECTOR", help="The connector's name, or its id.")]


@connectors_app.command("create")
def create_connector(
    name: Annotated[str, typer.Argument(metavar="NAME", help="What people call the hub.")],
    url: Annotated[str, typer.Option("--url", metavar="URL", help="The hub's address, as it stands before /current.")],
    channels: Annotated[
        list[str],
        typer.Option(
            "--channel",
            metavar="NUMBER=CAMPAIGN",
            help="A ChannelID of the hub, and the id of the published batch campaign whose sender and policy hold for it. Again for each.",
        ),
    ],
    username: Annotated[
        str,
        typer.Option("--username", metavar="NAME", help="For Login.", show_default="none: the secret is an X-API-KEY"),
    ] = "",
    attributes: Annotated[
        list[str] | None,
        typer.Option(
            "--attribute",
            metavar="THERE=HERE",
            help="What to pull and where it goes: Phone=phone, Tier=attributes.tier. Again for each.",
            show_default="Email=email Phone=phone",
        ),
    ] = None,
    zone: Annotated[
        str, typer.Option("--zone", metavar="ZONE", help="How the hub's times are read: utc, brand or recipient.")
    ] = "utc",
    brand: OnlyBrand = None,
    data: Data = None,
    as_json: AsJson = False,
) -> None:
    """Make a connector. The hub's password or key is read from HUB_SECRET, or asked for.

    Example: stentor hub connectors create "Our hub" --url https://hub.example.com --username texter --channel 505=CAMPAIGN_ID
    """
    from stentor.cli.connectors import create

    create(
        said(data=data),
        name,
        url=url,
        channels=channels,
        username=username,
        attributes=attributes or [],
        zone=zone,
        brand=brand,
        as_json=as_json,
    )


@connectors_app.command("list")
def list_connectors(brand: OnlyBrand = None, data: Data = None, as_json: AsJson = False) -> None:
    """List the connectors and how they stand.

    Example: stentor hub connectors list --json
    """
    from stentor.cli.connectors import list_all

    list_all(said(data=data), brand=brand, as_json=as_json)


@connectors_app.command("check")
def check_connector(connector: Named, brand: OnlyBrand = None, data: Data = None, as_json: AsJson = False) -> None:
    """Log in to the hub, and say what is wrong if that fails.

    Example: stentor hub connectors check "Our hub"
    """
    from stentor.cli.connectors import check

    check(said(data=data), connector, brand=brand, as_json=as_json)


@connectors_app.command("enable")
def enable_connector(connector: Named, brand: OnlyBrand = None, data: Data = None, as_json: AsJson = False) -> None:
    """Switch a connector on.

    Example: stentor hub connectors enable "Our hub"
    """
    from stentor.cli.connectors import switch

    switch(said(data=data), connector, enabled=True, brand=brand, as_json=as_json)


@connectors_app.command("disable")
def disable_connector(connector: Named, brand: OnlyBrand = None, data: Data = None, as_json: AsJson = False) -> None:
    """Switch a connector off: it hears nothing and tells nothing. What is being sent goes on.

    Example: stentor hub connectors disable "Our hub"
    """
    from stentor.cli.connectors import switch

    switch(said(data=data), connector, enabled=False, brand=brand, as_json=as_json)


@connectors_app.command("delete")
def delete_connector(connector: Named, brand: OnlyBrand = None, data: Data = None, as_json: AsJson = False) -> None:
    """Delete a connector, and what is known of its runs.

    Example: stentor hub connectors delete "Our hub"
    """
    from stentor.cli.connectors import delete

    delete(said(data=data), connector, brand=brand, as_json=as_json)
