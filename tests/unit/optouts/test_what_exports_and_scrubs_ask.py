from datetime import date
from uuid import UUID

import pytest

from stentor.errors import Invalid
from stentor.optouts.exporting import model as exporting
from stentor.optouts.exporting.model import ExportSpec, domains_in
from stentor.optouts.scrubbing import model as scrubbing

SOME = UUID(int=1)


def test_the_header_names_the_columns_in_the_order_asked_for():
    spec = ExportSpec(columns=("campaign", "plain", "ip", "hashed", "timestamp"))

    assert spec.header == ["campaign", "affiliate", "sub_affiliate", "plain", "ip", "hashed", "timestamp"]


def test_a_spec_is_kept_as_json_and_found_again():
    spec = exporting.checked(
        ExportSpec(columns=("plain",), first_day=date(2026, 1, 1), domains=("co.uk",), format="ndjson")
    )

    assert ExportSpec.from_json(spec.as_json()) == spec
    assert scrubbing.ScrubSpec.from_json(scrubbing.checked([SOME]).as_json()) == scrubbing.checked([SOME])


def test_domains_are_read_as_people_write_them_and_meant_however_they_are_spelled():
    spec = exporting.checked(ExportSpec(columns=("plain",), domains=domains_in(" gmail.com, @Co.UK.,, exämple.com")))

    assert spec.domains == ("gmail.com", "co.uk", "exämple.com", "xn--exmple-cua.com")


@pytest.mark.parametrize(
    ("spec", "pointer"),
    [
        (ExportSpec(columns=()), "/columns"),
        (ExportSpec(columns=("plain",), collections=()), "/collections"),
        (ExportSpec(columns=("plain",), first_day=date(2026, 2, 1), last_day=date(2026, 1, 1)), "/first_day"),
        (ExportSpec(columns=("plain",), format="ndjson", spreadsheet=True), "/spreadsheet"),
        (ExportSpec(columns=("plain",), domains=("a.de", "b c.de")), "/domains/1"),
        (ExportSpec(columns=("plain",), domains=("a.de",) * 101), "/domains"),
    ],
)
def test_an_export_that_makes_no_sense_is_refused_with_the_place(spec: ExportSpec, pointer: str):
    with pytest.raises(Invalid) as refused:
        exporting.checked(spec)

    assert [violation.pointer for violation in refused.value.violations] == [pointer]


def test_a_column_named_twice_is_written_once():
    assert exporting.checked(ExportSpec(columns=("plain", "ip", "plain"))).columns == ("plain", "ip")


@pytest.mark.parametrize("lists", [[], [UUID(int=number) for number in range(101)]])
def test_a_scrub_against_no_list_or_too_many_is_refused(lists: list[UUID]):
    with pytest.raises(Invalid):
        scrubbing.checked(lists)


def test_compressed_files_say_so_in_their_names():
    assert scrubbing.checked([SOME, SOME], gzipped=True).file_name("clean.csv") == "clean.csv.gz"
    assert scrubbing.checked([SOME]).file_name("clean.csv") == "clean.csv"
