"""The certificate of a long run that the documents show: it counts, and every line of it holds."""

import json
import re

from documents import ROOT
from stentor.testing.torture.certificate import Certificate
from stentor.testing.torture.nemesis import FAULTS

MINUTES = 30


def test_the_certificate_of_the_long_run_counts_and_holds():
    page = (ROOT / "docs" / "certificate.md").read_text(encoding="utf-8")
    told = re.findall(r"^\{.*\}$", page, re.MULTILINE)

    certificate = Certificate(**json.loads(told[-1]))
    assert len(told) == 1
    assert certificate.broken == []
    assert certificate.shortfalls(MINUTES) == []
    assert set(certificate.faults) == set(FAULTS)
    assert certificate.table() in page
