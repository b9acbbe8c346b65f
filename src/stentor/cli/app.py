"""The command line. Each command lives in a module that is imported when the command runs, so that help is instant."""

from pathlib import Path
from typing import Annotated

import typer

from stentor import __version__
from stentor.cli.accounts_app import brand_app, key_app, organisation_app
from stentor.cli.audit_app import audit_app
from stentor.cli.conformance_app import conformance_app
from stentor.cli.hub_app import hub_app
from stentor.cli.imports_app import customers_app, subscriptions_app
from stentor.cli.lists_app import lists_app
from stentor.cli.options import AsJson, Data, directory_path, said
from stentor.cli.users_app import user_app

_EXIT_CODES = "Exit codes: 0 done, 1 failed, 2 wrong usage, 3 a part that is needed does not answer, 130 interrupted."

app = typer.Typer(
    name="stentor",
    help="Stentor: one call, and everyone who asked to hear it does.",
    epilog=_EXIT_CODES,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
for name, group in {
    "organisation": organisation_app,
    "brand": brand_app,
    "key": key_app,
    "user": user_app,
    "audit": audit_app,
    "customers": customers_app,
    "subscriptions": subscriptions_app,
    "lists": lists_app,
    "hub": hub_app,
    "conformance": conformance_app,
}.items():
    app.add_typer(group, name=name)


def _tell_version(asked: bool) -> None:
    if asked:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def main(
    version: Annotated[
        bool, typer.Option("--version", help="Tell the version and exit.", is_eager=True, callback=_tell_version)
    ] = False,
) -> None:
    """Stentor: one call, and everyone who asked to hear it does."""


WhenReady = Annotated[bool, typer.Option("--json", help="Print one JSON object when it is ready.")]
Host = Annotated[
    str | None, typer.Option("--host", metavar="HOST", help="Address to listen on.", show_default="127.0.0.1")
]
Port = Annotated[
    int | None,
    typer.Option(
        "--port", metavar="PORT", min=0, max=65_535, help="Port to listen on; 0 takes a free one.", show_default="8080"
    ),
]
PublicUrl = Annotated[
    str | None,
    typer.Option(
        "--public-url", metavar="URL", help="The https address that people's links lead to.", show_default=False
    ),
]
Proxies = Annotated[
    str | None,
    typer.Option(
        "--trusted-proxies",
        metavar="NETWORKS",
        help="Networks whose X-Forwarded-For is believed, comma-separated.",
        show_default=False,
    ),
]


@app.command()
def serve(
    data: Data = None,
    host: Host = None,
    port: Port = None,
    public_url: PublicUrl = None,
    trusted_proxies: Proxies = None,
    workers: Annotated[
        int | None, typer.Option("--workers", metavar="NUMBER", help="Worker processes.", show_default="2")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Start everything: database, HTTP, workers, sandbox inbox.

    Prints the address, and at the first start the first brand's id and keys, once.

    Example: stentor serve --data ./data --port 8080
    """
    from stentor.cli.serve import serve_everything

    serve_everything(
        said(
            data=data,
            host=host,
            port=port,
            public_url=public_url,
            trusted_proxies=trusted_proxies,
            workers=workers,
        ),
        as_json=as_json,
    )


@app.command()
def api(
    data: Data = None,
    host: Host = None,
    port: Port = None,
    public_url: PublicUrl = None,
    trusted_proxies: Proxies = None,
    as_json: WhenReady = False,
) -> None:
    """Serve HTTP only.

    Workers run elsewhere, on the same database.

    Example: STENTOR_DATABASE_URL=postgresql://… stentor api --port 8080
    """
    from stentor.cli.roles import serve_api

    given = said(data=data, host=host, port=port, public_url=public_url, trusted_proxies=trusted_proxies)
    serve_api(given, as_json=as_json)


@app.command()
def worker(data: Data = None, public_url: PublicUrl = None, as_json: WhenReady = False) -> None:
    """Plan and deliver only.

    Any number of workers share the work, on the same database.

    Example: STENTOR_DATABASE_URL=postgresql://… stentor worker
    """
    from stentor.cli.roles import run_worker

    run_worker(said(data=data, public_url=public_url), as_json=as_json)


@app.command()
def migrate(data: Data = None, as_json: AsJson = False) -> None:
    """Bring the database's schema up to date.

    `serve` does it by itself.

    Example: STENTOR_DATABASE_URL=postgresql://… stentor migrate --json
    """
    from stentor.cli.serve import migrate_database

    migrate_database(said(data=data), as_json=as_json)


@app.command()
def backup(
    directory: Annotated[
        Path, typer.Argument(metavar="DIR", parser=directory_path, help="A new directory, which becomes the backup.")
    ],
    without_secret: Annotated[
        bool, typer.Option("--without-secret", help="Leave the secret out, because you keep it elsewhere.")
    ] = False,
    data: Data = None,
    as_json: AsJson = False,
) -> None:
    """Back up the installation while it runs.

    That is the database, the secret, and a manifest that says what they are.

    Example: stentor backup /backups/2026-11-22 --json
    """
    from stentor.cli.backups import take_backup

    take_backup(said(data=data), directory, without_secret=without_secret, as_json=as_json)


@app.command()
def restore(
    directory: Annotated[
        Path, typer.Argument(metavar="DIR", parser=directory_path, help="What `stentor backup` wrote.")
    ],
    erasures: Annotated[
        Path | None,
        typer.Option(
            "--erasures",
            metavar="PATH",
            parser=directory_path,
            help="The lists directory of the installation that was backed up, with its logs of erasures and of revocations.",
            show_default="this one's",
        ),
    ] = None,
    data: Data = None,
    as_json: AsJson = False,
) -> None:
    """Restore a backup; the copy is paused.

    It goes into an empty database, or a new data directory, and sends nothing until `stentor resume`. Whoever was erased after
    the backup is erased again, and keys that were revoked after it are revoked again, by the logs that the old installation kept.

    Example: stentor restore /backups/2026-11-22 --data ./restored --erasures ./data/lists
    """
    from stentor.cli.backups import restore_backup

    restore_backup(said(data=data), directory, erasures=erasures, as_json=as_json)


@app.command()
def resume(
    without_erasures: Annotated[
        bool,
        typer.Option("--without-erasures", help="Although its log of erasures is missing: you answer for who is back."),
    ] = False,
    without_revocations: Annotated[
        bool,
        typer.Option(
            "--without-revocations",
            help="Although its log of revocations is missing: you answer for which keys are back.",
        ),
    ] = False,
    data: Data = None,
    as_json: AsJson = False,
) -> None:
    """Let a restored copy go.

    Do so once the installation that it was copied from is off for good. What the backup caught under way stays paused, each execution until you resume or cancel it.

    Example: stentor resume --data ./restored
    """
    from stentor.cli.backups import resume_copy

    resume_copy(
        said(data=data),
        without_erasures=without_erasures,
        without_revocations=without_revocations,
        as_json=as_json,
    )


@app.command()
def demo(
    people: Annotated[
        int | None,
        typer.Option(
            "--people", metavar="NUMBER", min=1, max=5_000_000, help="How many opted in.", show_default="127450"
        ),
    ] = None,
    exit_at_end: Annotated[bool, typer.Option("--exit", help="End after the last message instead of waiting.")] = False,
    as_json: AsJson = False,
    data: Annotated[
        Path | None,
        typer.Option(
            "--data",
            parser=directory_path,
            metavar="PATH",
            help="Keep everything there.",
            show_default="a temporary directory",
        ),
    ] = None,
    port: Annotated[
        int | None,
        typer.Option(
            "--port",
            metavar="PORT",
            min=0,
            max=65_535,
            help="Port to listen on; 0 takes a free one.",
            show_default="8080, or a free one when that is taken",
        ),
    ] = None,
    smtp: Annotated[
        str | None,
        typer.Option(
            "--smtp",
            metavar="HOST:PORT",
            help="Mail server that takes the messages.",
            show_default="none, the sandbox inbox takes them",
        ),
    ] = None,
) -> None:
    """Show one call that reaches everyone who opted in.

    People, mail and all are made up.

    Example: stentor demo --people 10000 --exit --json
    """
    from stentor.cli.demo.run import PEOPLE, run_demo

    run_demo(people=people or PEOPLE, smtp=smtp, data=data, port=port, exit_at_end=exit_at_end, as_json=as_json)


@app.command()
def bench(
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME", help="trigger, plan, render, smtp, e2e, guard, batches, hub, optouts, import or start."
        ),
    ],
    people: Annotated[
        int | None,
        typer.Option(
            "--people",
            metavar="NUMBER",
            min=10,
            max=10_000_000,
            help="How many people.",
            show_default="the bench's own",
        ),
    ] = None,
    lines: Annotated[
        int | None,
        typer.Option(
            "--lines",
            metavar="NUMBER",
            min=100_000,
            max=250_000_000,
            help="Lines of the file that `optouts` loads.",
            show_default="20 million",
        ),
    ] = None,
    seconds: Annotated[
        int | None,
        typer.Option(
            "--seconds", metavar="NUMBER", min=4, max=3_600, help="How long `trigger` calls.", show_default="60"
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Measure how fast it is, with data of its own.

    Needs the source repository, where the fixtures lie.

    Example: stentor bench e2e --people 127450 --json
    """
    from stentor.cli.bench.run import run_bench

    run_bench(name, people=people, lines=lines, seconds=seconds, as_json=as_json)


@app.command()
def explain(
    execution: Annotated[
        str, typer.Argument(metavar="EXECUTION", help="The execution's id, as exec-0198… or 0198…-….")
    ],
    external_id: Annotated[str, typer.Argument(metavar="EXTERNAL_ID", help="The person, by your own id.")],
    brand: Annotated[
        str | None,
        typer.Option("--brand", metavar="BRAND", help="The brand's id, key or name.", show_default="the execution's"),
    ] = None,
    data: Data = None,
    as_json: AsJson = False,
) -> None:
    """Tell what happened to one person in one execution, and why.

    Example: stentor explain exec-0198… fan-000042
    """
    from stentor.cli.explain import explain_person

    explain_person(said(data=data), execution, external_id, brand=brand, as_json=as_json)


@app.command()
def doctor(
    data: Data = None,
    host: Host = None,
    port: Port = None,
    public_url: PublicUrl = None,
    trusted_proxies: Proxies = None,
    as_json: AsJson = False,
) -> None:
    """Look for what must be right before people are written to.

    Give it the same options as `serve`. It exits 1 when something is bad.

    Example: stentor doctor --data ./data --public-url https://news.example.com
    """
    from stentor.cli.doctor.run import examine

    examine(
        said(data=data, host=host, port=port, public_url=public_url, trusted_proxies=trusted_proxies), as_json=as_json
    )


def run() -> None:
    """The entry point: what a caller can act on ends the command with a sentence instead of a traceback."""
    try:
        app()
    except Exception as error:  # noqa: BLE001 - whatever it does not know is raised again
        from stentor.cli.output import end_with

        end_with(error)
