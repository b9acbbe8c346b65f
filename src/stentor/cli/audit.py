"""The audit log from the command line."""

import sys
from collections.abc import Mapping
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path
from typing import Any

from stentor.accounts.audit import AuditLog
from stentor.accounts.audit_files import AuditFormat, header, lines
from stentor.accounts.audit_model import Narrowed
from stentor.cli.installation import brand_named, with_core
from stentor.cli.output import fail
from stentor.wiring import Core, accounts


def export_audit(
    given: Mapping[str, Any],
    *,
    brand: str | None,
    since: datetime | None,
    until: datetime | None,
    fmt: AuditFormat,
    output: Path | None,
) -> None:
    """Writes the entries of the brand, or of all of them and of the organisations, to the file or to standard output."""
    if output is not None and output.exists():
        fail(f"{output} is there already. Name a new file.")

    async def act(core: Core) -> None:
        owner = None if brand is None else await brand_named(accounts(core), brand)
        narrowed = Narrowed(since=since, until=until)
        with ExitStack() as opened:
            file = sys.stdout.buffer if output is None else opened.enter_context(output.open("xb"))
            file.write(header(fmt))
            async for entries in AuditLog(core.db).export(owner.id if owner else None, narrowed):
                file.write(lines(entries, fmt))
            file.flush()

    with_core(given, act)
