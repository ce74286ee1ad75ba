"""The samples: what is right in them is right, and what is broken is told in the words of the golden file."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import orjson
import pytest

from bulkstreams.config import Flags, load
from bulkstreams.model import Record
from bulkstreams.schema import Rules, prepare, read_line, secrets_in

ROOT = Path(__file__).parent.parent
SAMPLES = ROOT / "samples"
VALID = ("streams.jsonl", "tenants.jsonl")


def lines(name: str) -> list[bytes]:
    """Return the lines of a sample."""
    return (SAMPLES / name).read_bytes().splitlines()


def records(name: str) -> list[Record]:
    """Return the records of a sample, all of whose lines must be valid."""
    found = [read_line(line, Rules(), lambda reference: f"{reference} in a sample") for line in lines(name)]
    assert all(isinstance(one, Record) for one in found), [str(one) for one in found if not isinstance(one, Record)]
    return [one for one in found if isinstance(one, Record)]


def validate(name: str, *flags: str) -> subprocess.CompletedProcess[bytes]:
    """Run `bulkstreams validate` on a sample, as its user would."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("AUTH0_", "BULKSTREAMS"))}
    command = [sys.executable, "-m", "bulkstreams", "validate", f"samples/{name}", *flags]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, check=False)


@pytest.mark.parametrize("name", VALID)
def test_a_sample_is_valid_and_names_no_key_twice(name: str) -> None:
    """A newcomer's first run meets no error, no duplicate, no note, and no secret to be set first."""
    found = records(name)
    assert len({(one.tenant, one.key) for one in found}) == len(found)
    assert all(one.notes == () for one in found)
    assert len({(one.tenant, one.name) for one in found}) == len(found), "the API takes a name once"


def test_the_streams_are_of_every_kind() -> None:
    """Forty or more streams: each destination, each method, several regions, both statuses."""
    found = [orjson.loads(line) for line in lines("streams.jsonl")]
    destinations = [one["destination"] for one in found]
    assert len(found) >= 40
    assert {one["type"] for one in destinations} == {"webhook", "eventbridge", "action"}
    configurations = [one["configuration"] for one in destinations]
    methods = {one["webhook_authorization"]["method"] for one in configurations if "webhook_authorization" in one}
    assert methods == {"basic", "bearer", "custom_header"}
    assert len({one["aws_region"] for one in configurations if "aws_region" in one}) >= 4
    assert {one.get("status", "enabled") for one in found} == {"enabled", "disabled"}


@pytest.mark.parametrize("name", VALID)
def test_every_secret_of_a_sample_is_plainly_a_dummy(name: str) -> None:
    """Nobody, and no scanner, need wonder whether a secret here is one."""
    bodies = [prepare(line, lambda _: "") for line in lines(name)]
    secrets = [secret for body in bodies if body is not None for secret in secrets_in(body)]
    assert secrets
    assert all(secret.startswith("dummy-") for secret in secrets)


def test_the_tenants_of_the_sample_are_those_of_its_configuration() -> None:
    """Each envelope names a tenant that the file has, at a loopback address, and the tenants differ in pace."""
    found = records("tenants.jsonl")
    chosen = load(Flags(config=SAMPLES / "bulkstreams.toml"), {}, ROOT)
    assert {one.tenant for one in found} == set(chosen.tenants) == {"acme", "globex", "initech"}
    assert all(orjson.loads(line)["key"] for line in lines("tenants.jsonl"))
    assert {one.base_url for one in chosen.tenants.values()} == {
        f"http://127.0.0.1:8025/t/{name}" for name in chosen.tenants
    }
    assert len({(one.rate, one.burst, one.reserve) for one in chosen.tenants.values()}) == 3
    tables = tomllib.loads((SAMPLES / "bulkstreams.toml").read_text(encoding="utf-8"))["tenants"]
    assert all(table["token"].startswith("dummy-") for table in tables.values())


@pytest.mark.parametrize(
    ("name", "flags"), [("streams.jsonl", ()), ("tenants.jsonl", ("--config", "samples/bulkstreams.toml"))]
)
def test_validate_has_nothing_to_say_of_what_is_right(name: str, flags: tuple[str, ...]) -> None:
    """The command itself takes every line."""
    done = validate(name, *flags)
    assert (done.returncode, done.stdout) == (0, b"")
    assert f"{len(lines(name))} valid".encode() in done.stderr


def test_validate_says_of_what_is_broken_exactly_this() -> None:
    """The golden file: each problem with its place, in order, on standard output; exit code 1."""
    done = validate("broken.jsonl")
    expected = (SAMPLES / "broken.expected.txt").read_text(encoding="utf-8")
    assert done.stdout.decode().splitlines() == expected.splitlines()
    assert done.returncode == 1


def test_each_broken_line_breaks_one_rule() -> None:
    """Each line has one complaint, but for the last three: five at once, none, and a duplicate of that."""
    said = [text.split(":")[1] for text in (SAMPLES / "broken.expected.txt").read_text(encoding="utf-8").splitlines()]
    *single, five, right, last = [said.count(str(number)) for number in range(1, len(lines("broken.jsonl")) + 1)]
    assert set(single) == {1}
    assert (five, right, last) == (5, 0, 1)


def test_no_complaint_about_a_broken_line_shows_a_secret() -> None:
    """Dummies that stand where a secret, a password in a URL or a query would, are not repeated."""
    assert "dummy" in (SAMPLES / "broken.jsonl").read_bytes().decode(errors="replace")
    assert "dummy" not in (SAMPLES / "broken.expected.txt").read_text(encoding="utf-8")


def test_every_sample_is_told_of_in_the_readme() -> None:
    """A file that nobody explains helps nobody."""
    text = (SAMPLES / "README.md").read_text(encoding="utf-8")
    assert [path.name for path in SAMPLES.iterdir() if f"`{path.name}`" not in text] == ["README.md"]
    assert f"the {len(lines('streams.jsonl'))} streams" in text
    assert f"{len(lines('tenants.jsonl'))} streams for three tenants" in text


def test_the_exports_of_another_tool_are_converted() -> None:
    """The YAML file, with its mappings, needs nobody; the folder has a stream of which others may have been lost."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("AUTH0_", "BULKSTREAMS"))}
    command = [sys.executable, "-m", "bulkstreams", "import", "deploy-cli", "samples/deploy-cli"]
    whole = [*command[:-1], "samples/deploy-cli/tenant.yaml", "--mappings", "samples/deploy-cli/config.json"]
    for wanted, streams, arguments in ((0, 5, whole), (1, 3, command)):
        done = subprocess.run(arguments, cwd=ROOT, env=environment, capture_output=True, check=False)
        found = [read_line(line, Rules(), lambda _: None) for line in done.stdout.splitlines()]
        assert (done.returncode, len(found)) == (wanted, streams), done.stderr.decode()
        assert all(isinstance(one, Record) for one in found)
