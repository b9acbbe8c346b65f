"""`stentor doctor`: looks at everything that must be right before people are written to."""

import os
from collections.abc import Iterator, Mapping
from typing import Any

from rich.console import Console
from rich.table import Table

from stentor.cli.doctor.database import examine_database
from stentor.cli.doctor.finding import Finding
from stentor.cli.doctor.machine import check_data_directory, check_disk, check_environment, check_secret
from stentor.cli.doctor.network import check_port, check_public_url, check_trusted_proxies
from stentor.cli.output import Exit, print_json
from stentor.settings import Settings
from stentor.wiring.core import data_directory

_COLOURS = {"ok": "green", "warn": "yellow", "bad": "red"}


def examine(given: Mapping[str, Any], *, as_json: bool) -> None:
    """Prints what was found, and ends the command as failed when something is bad."""
    findings = list(_findings(Settings(**given)))
    is_well = all(finding.state != "bad" for finding in findings)
    if as_json:
        print_json({"well": is_well, "checks": findings})
    else:
        Console().print(_drawn(findings))
    raise SystemExit(int(Exit.DONE if is_well else Exit.FAILED))


def _findings(settings: Settings) -> Iterator[Finding]:
    data = data_directory(settings)
    yield check_environment(os.environ)
    yield check_data_directory(data)
    yield check_secret(settings, data)
    yield check_disk(data, settings.min_free_bytes)
    yield from examine_database(settings)
    yield check_port(settings.host, settings.port)
    yield check_public_url(settings.public_url)
    yield check_trusted_proxies(settings.trusted_proxies, settings.public_url)


def _drawn(findings: list[Finding]) -> Table:
    table = Table.grid(padding=(0, 2))
    for finding in findings:
        told = f"{finding.found}\n→ {finding.advice}" if finding.advice else finding.found
        table.add_row(f"[{_COLOURS[finding.state]}]{finding.state}[/]", finding.check, told)
    return table
