"""The certificates of long runs that the documents show: they count, and every line of them holds."""

import json
import re

from documents import ROOT
from stentor.testing.torture.certificate import PULLED_PER_MINUTE_MIN, Certificate
from stentor.testing.torture.nemesis import FAULTS

MINUTES = 30
# What a run says since it has a service that pulls.
LATER = {"pulled": PULLED_PER_MINUTE_MIN * MINUTES, "revoked": 0}


def test_the_certificate_of_the_long_run_counts_and_holds():
    page = (ROOT / "docs" / "certificate.md").read_text(encoding="utf-8")
    told = re.findall(r"^\{.*\}$", page, re.MULTILINE)

    certificate = Certificate(**LATER | json.loads(told[-1]))
    assert len(told) == 1
    assert certificate.broken == []
    assert certificate.shortfalls(MINUTES) == []
    assert set(certificate.faults) == set(FAULTS)
    lines = [line for line in certificate.table().splitlines() if line.split()[0] not in LATER]
    assert "\n".join(lines) in page
