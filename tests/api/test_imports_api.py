"""Files of people come in through the API: streamed, resumable, with their rejects."""

import gzip
from collections.abc import Iterator

import pytest

from api_world import World

pytestmark = pytest.mark.anyio

CSV = {"Content-Type": "text/csv"}
FILE = (
    b"external_id,email\n" + b"".join(b"c-%d,c%d@example.org\n" % (n, n) for n in range(500)) + b",nobody@example.org\n"
)


async def begin(world: World, **more: object) -> str:
    begun = await world.ask("POST", "/imports", json={"kind": "customers", "format": "csv", "source": "f.csv", **more})
    return begun.json()["id"]


async def test_a_file_is_imported_and_its_rejects_are_told(world: World):
    job = await begin(world, bytes_total=len(FILE))

    done = await world.ask("PUT", f"/imports/{job}/content", content=FILE, headers=CSV)
    rejects = await world.ask("GET", f"/imports/{job}/rejects")
    table = await world.ask("GET", f"/imports/{job}/rejects.csv")

    assert done.status_code == 200, done.text
    assert (done.json()["state"], done.json()["added"], done.json()["rejected"]) == ("succeeded", 500, 1)
    assert rejects.json()["data"][0]["line"] == 502
    assert table.text.splitlines()[0] == "line,reason"
    assert table.text.splitlines()[1].startswith('502,"')
    assert (await world.ask("GET", "/customers/c-499")).status_code == 200


async def test_the_same_file_again_changes_nothing(world: World):
    for added in (500, 0):
        job = await begin(world)
        done = await world.ask("PUT", f"/imports/{job}/content", content=FILE, headers=CSV)
        assert (done.json()["added"], done.json()["changed"]) == (added, 0)


async def test_a_file_that_broke_off_goes_on_where_it_stood(world: World):
    job = await begin(world, bytes_total=len(FILE))
    half = len(FILE) // 2

    broken = await world.ask("PUT", f"/imports/{job}/content", content=FILE[:half], headers=CSV)
    stands = (await world.ask("GET", f"/imports/{job}")).json()
    rest = FILE[stands["bytes_done"] :]
    headers = {**CSV, "Upload-Offset": str(stands["bytes_done"])}
    done = await world.ask("PUT", f"/imports/{job}/content", content=rest, headers=headers)

    assert broken.status_code == 409
    assert stands["state"] == "running"
    assert (done.json()["state"], done.json()["added"]) == ("succeeded", 500)


async def test_a_file_larger_than_any_json_is_taken(world: World):
    def lines() -> Iterator[bytes]:
        yield b"external_id,note\n"
        for number in range(60):
            yield b"c-%d,%b\n" % (number, b"x" * 40_000)

    job = await begin(world)
    done = await world.ask("PUT", f"/imports/{job}/content", content=b"".join(lines()), headers=CSV)

    assert (done.status_code, done.json()["added"]) == (200, 60)


async def test_what_is_no_file_is_refused(world: World):
    job = await begin(world)
    wrong_offset = await world.ask("PUT", f"/imports/{job}/content", content=FILE, headers={"Upload-Offset": "-1"})
    ahead = await world.ask("PUT", f"/imports/{job}/content", content=FILE, headers={"Upload-Offset": "10"})
    empty = await world.ask("PUT", f"/imports/{job}/content", content=b"", headers=CSV)
    ended = await world.ask("PUT", f"/imports/{job}/content", content=FILE, headers=CSV)

    assert [answer.status_code for answer in (wrong_offset, ahead, empty, ended)] == [400, 409, 400, 409]


@pytest.mark.parametrize(
    "headers",
    [
        {"Content-Type": "text/csv", "Content-Encoding": "gzip"},
        {"Content-Type": "application/gzip"},
        {"Content-Type": "text/csv; charset=latin1"},
        {"Content-Type": "multipart/form-data; boundary=b"},
    ],
)
async def test_a_file_in_another_form_is_refused_and_not_taken_for_lines(world: World, headers: dict[str, str]):
    job = await begin(world)

    refused = await world.ask("PUT", f"/imports/{job}/content", content=gzip.compress(FILE), headers=headers)

    assert refused.status_code == 415
    assert (await world.ask("GET", f"/imports/{job}")).json()["rejected"] == 0


async def test_an_import_that_was_stopped_goes_on_and_one_that_was_cancelled_does_not(world: World):
    stopped, cancelled = await begin(world), await begin(world, source="other.csv")

    stop = await world.ask("POST", f"/imports/{stopped}/stop")
    done = await world.ask("PUT", f"/imports/{stopped}/content", content=FILE, headers=CSV)
    cancel = await world.ask("POST", f"/imports/{cancelled}/cancel")
    late = await world.ask("PUT", f"/imports/{cancelled}/content", content=FILE, headers=CSV)

    assert (stop.status_code, stop.json()["state"], done.json()["state"]) == (200, "running", "succeeded")
    assert (cancel.json()["state"], cancel.json()["problem"][:13]) == ("failed", "Cancelled by ")
    assert late.status_code == 409
    for path in ("stop", "cancel"):
        assert (await world.ask("POST", f"/imports/{stopped}/{path}")).status_code == 409
