"""The samples: what is meant to work works, and each broken line gets exactly its message."""

from __future__ import annotations

import json
import tomllib
from collections import Counter
from pathlib import Path

import pytest

from bulkstreams.core.references import Reference
from bulkstreams.model import Invalid, Record
from bulkstreams.schema import Rules, read_line
from bulkstreams.source import open_input

SAMPLES = Path(__file__).parent.parent / "samples"


def not_set(reference: Reference) -> str:
    """Say of any reference that it does not resolve: no sample needs any set-up."""
    return f"the environment variable {reference.target} is not set"


def read(name: str, folder: Path) -> list[tuple[int, Record | Invalid]]:
    """Read a sample as the main job does."""
    one = open_input(str(SAMPLES / name), folder)
    try:
        return [
            (line.number, read_line(line.data or b"", Rules(), not_set)) for batch in one.batches() for line in batch
        ]
    finally:
        one.close()


@pytest.mark.parametrize(("name", "least"), [("streams.jsonl", 40), ("tenants.jsonl", 18)])
def test_every_line_of_the_good_samples_is_a_record_of_its_own(name: str, least: int, tmp_path: Path) -> None:
    """All are valid without any set-up, and no two have the same tenant and key."""
    found = [record for _, record in read(name, tmp_path)]
    assert len(found) >= least
    assert [str(one) for one in found if isinstance(one, Invalid)] == []
    assert max(Counter((one.tenant, one.key) for one in found).values()) == 1
    assert not any(one.notes for one in found if isinstance(one, Record))


def test_the_believable_tenant_has_streams_of_every_kind() -> None:
    """Three kinds of destination, three webhook methods, both statuses, several regions."""
    streams = [json.loads(line) for line in (SAMPLES / "streams.jsonl").read_text().splitlines()]
    configurations = [stream["destination"]["configuration"] for stream in streams]
    methods = {one["webhook_authorization"]["method"] for one in configurations if "webhook_authorization" in one}
    assert {stream["destination"]["type"] for stream in streams} == {"webhook", "eventbridge", "action"}
    assert methods == {"basic", "bearer", "custom_header"}
    assert {stream.get("status") for stream in streams} == {"enabled", "disabled", None}
    assert len({one["aws_region"] for one in configurations if "aws_region" in one}) >= 5


@pytest.mark.parametrize("name", ["streams.jsonl", "tenants.jsonl"])
def test_every_secret_is_plainly_a_dummy(name: str) -> None:
    """Nobody need wonder whether a real secret was published."""
    for line in (SAMPLES / name).read_text().splitlines():
        whole = json.loads(line)
        authorization = whole.get("stream", whole)["destination"]["configuration"].get("webhook_authorization", {})
        for field in {"password", "token", "header_value"} & set(authorization):
            assert authorization[field].startswith("dummy-")


def test_the_configuration_knows_every_tenant_of_the_sample(tmp_path: Path) -> None:
    """And each is a tenant of a sandbox on this very machine."""
    tenants = tomllib.loads((SAMPLES / "bulkstreams.toml").read_text())["tenants"]
    assert {record.tenant for _, record in read("tenants.jsonl", tmp_path)} == set(tenants)
    for name, table in tenants.items():
        assert table["base_url"] == f"http://127.0.0.1:8025/t/{name}"
        assert table["token"].startswith("dummy-")


def test_each_broken_line_is_told_exactly_what_is_wrong_with_it(tmp_path: Path) -> None:
    """The golden list: change a message, and this file shows what users will see instead.

    Its last line tells of the duplicate, which only the ledger can know.
    """
    found = [
        f"samples/broken.jsonl:{number}: {problem}"
        for number, one in read("broken.jsonl", tmp_path)
        if isinstance(one, Invalid)
        for problem in one.problems
    ]
    *expected, duplicate = (SAMPLES / "broken.expected.txt").read_text(encoding="utf-8").splitlines()
    assert found == expected
    assert duplicate.startswith("samples/broken.jsonl:84: duplicate of samples/broken.jsonl:83 ")


def test_each_broken_line_breaks_one_rule(tmp_path: Path) -> None:
    """Then one breaks several, and the last two are right but for having the same key."""
    *broken, several, one, other = read("broken.jsonl", tmp_path)
    assert len(broken) >= 45
    assert all(isinstance(found, Invalid) and len(found.problems) == 1 for _, found in broken)
    assert isinstance(several[1], Invalid)
    assert len(several[1].problems) > 1
    assert one[1] == other[1]
    assert isinstance(one[1], Record)


def test_no_secret_of_the_broken_sample_is_in_what_is_said_of_it() -> None:
    """The lines hold planted secrets; the list of messages holds none."""
    assert "dummy" in (SAMPLES / "broken.jsonl").read_text(encoding="latin-1")
    assert "dummy" not in (SAMPLES / "broken.expected.txt").read_text(encoding="utf-8")
