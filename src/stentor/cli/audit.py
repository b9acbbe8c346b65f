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
from stentor.cli.installation import brand_named, organisation_named, with_core
from stentor.cli.output import Exit, fail
from stentor.wiring.core import Core, accounts


def export_audit(
    given: Mapping[str, Any],
    *,
    brand: str | None,
    organisation: str | None,
    since: datetime | None,
    until: datetime | None,
    fmt: AuditFormat,
    output: Path | None,
) -> None:
    """Writes the entries of the brand, or of the organisation and its brands, or all there are, to the file or to standard output."""
    if brand is not None and organisation is not None:
        fail("Name a brand or an organisation, not both.", Exit.USAGE)
    if output is not None and output.exists():
        fail(f"{output} is there already. Name a new file.")

    async def act(core: Core) -> None:
        service = accounts(core)
        brand_id = None if brand is None else (await brand_named(service, brand)).id
        organisation_id = None if organisation is None else (await organisation_named(service, organisation)).id
        narrowed = Narrowed(since=since, until=until)
        with ExitStack() as opened:
            file = sys.stdout.buffer if output is None else opened.enter_context(output.open("xb"))
            file.write(header(fmt))
            log = AuditLog(core.db)
            async for entries in log.export(narrowed, brand_id=brand_id, organisation_id=organisation_id):
                file.write(lines(entries, fmt))
            file.flush()

    with_core(given, act)
