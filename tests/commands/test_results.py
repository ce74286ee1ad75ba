"""`results` in its forms: import blocks for Terraform, a table that no spreadsheet runs, and one tenant's records."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from bulkstreams.commands.results import Format, written
from bulkstreams.core.metrics import Tally
from bulkstreams.errors import UsageError
from bulkstreams.ledger import LedgerReader
from bulkstreams.model import State, TenantName
from tests.ledger import FILE, Given, bad, good, in_loop, read, rows, settled, start

BLOCK = re.compile(
    r"^# (?P<about>.+)\nimport \{\n(?:  provider = auth0\.(?P<alias>\w+)\n)?  to +"
    r"= auth0_event_stream\.(?P<label>[a-z_][a-z0-9_]*)\n  id +"
    r'= "(?P<id>[^"\n]*)"\n\}\n',
    re.MULTILINE,
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return where the ledger is to be."""
    return tmp_path / "in.ledger.db"


@in_loop
async def fill(
    path: Path, lines: Sequence[Given], ends: Mapping[str, tuple[State, Mapping[str, Any]]], nameless: Collection[str]
) -> None:
    """Let a run settle each line: as created, unless `ends` tells otherwise."""
    with await start(path) as ledger:
        await ledger.begin_reading("source", 10.0)
        made = await rows(ledger, FILE, lines)
        await ledger.ingest([row._replace(name=None) if row.key in nameless else row for row in made])
        await ledger.end_reading(11.0, [await ledger.input(FILE)])
        for tenant in {line.tenant for line in lines if line.mark is not None}:
            claims = await ledger.claim(TenantName(tenant), 99, 20.0)
            made_of = {claim: ends.get(claim.key, (State.CREATED, {})) for claim in claims}
            await ledger.settle([settled(claim, end, **fields) for claim, (end, fields) in made_of.items()], Tally())


def output(path: Path, form: Format, *states: State, tenant: str | None = None) -> str:
    """Return what `results` prints."""
    with LedgerReader(path) as reader:
        return b"".join(written(reader, states, tenant, form, as_lines=False)).decode()


def blocks(text: str) -> list[dict[str, str]]:
    """Return the import blocks of a file; all of it is blocks, comments and blank lines."""
    rest = BLOCK.sub("", text)
    assert all(line.startswith("#") or not line for line in rest.splitlines()), rest
    return [match.groupdict() for match in BLOCK.finditer(text)]


def labels(text: str) -> list[str]:
    """Return the labels of a file's import blocks."""
    return [one["label"] for one in blocks(text)]


def test_each_stream_that_stands_has_an_import_block(path: Path) -> None:
    """A block names the stream's id, and its comment the record; what no tenant has is not imported."""
    ends = {
        "old": (State.EXISTS, {}),
        "other": (State.CONFLICT, {"remote_id": "est_there"}),
        "no": (State.REFUSED, {}),
        "lost": (State.IN_DOUBT, {}),
    }
    fill(path, [good("new"), good("old"), good("other"), good("no"), good("lost"), bad("wrong")], ends, ())
    found = blocks(output(path, Format.TERRAFORM))
    assert [(one["about"], one["label"], one["id"], one["alias"]) for one in found] == [
        ("new: created at acme, in.jsonl:1", "new", "est_new", None),
        ("old: exists at acme, in.jsonl:2", "old", "est_old", None),
        ("other: conflict at acme, in.jsonl:3", "other", "est_there", None),
    ]
    assert labels(output(path, Format.TERRAFORM, State.EXISTS)) == ["old"]


@in_loop
async def change_the_lines(path: Path) -> None:
    """Let a later reading find one line bad, and one whose stream was deleted by us."""
    with await start(path, 30.0) as ledger:
        await read(ledger, [bad("a"), good("b", status="disabled"), good("c")])


def test_a_stream_stands_whatever_became_of_its_line(path: Path) -> None:
    """The stream of a line that is invalid or another by now is imported as before."""
    fill(path, [good("a"), good("b"), good("c")], {"c": (State.REFUSED, {"remote_id": "est_stale"})}, ())
    change_the_lines(path)
    found = {one["label"]: one["about"].split()[1] for one in blocks(output(path, Format.TERRAFORM))}
    assert found == {"a": "invalid", "b": "conflict"}


def test_labels_are_unique_and_stay_whatever_is_asked_for(path: Path) -> None:
    """Names that would make one label are numbered in the ledger's order, and a filter changes no label."""
    names = ["Audit EU", "audit-eu", "audit.eu", "2fa", "監査", "null"]
    fill(path, [good(name) for name in names], {"audit-eu": (State.EXISTS, {}), "監査": (State.EXISTS, {})}, ())
    assert labels(output(path, Format.TERRAFORM)) == [
        "audit_eu", "audit_eu_2", "audit_eu_3", "stream_2fa", "est", "null",
    ]  # fmt: skip
    assert labels(output(path, Format.TERRAFORM, State.EXISTS)) == ["audit_eu_2", "est"]


def test_a_nameless_stream_is_called_after_its_id(path: Path) -> None:
    """Without a name, or with none in Latin script, the id makes the label, and the comment has the key."""
    ends = {"digest:77": (State.CREATED, {"remote_id": "est_7fA"})}
    fill(path, [good("digest:77")], ends, ["digest:77"])
    (found,) = blocks(output(path, Format.TERRAFORM))
    assert (found["label"], found["about"]) == (
        "est_7fa", "(no name; key digest:77): created at acme, in.jsonl:1",
    )  # fmt: skip


def test_a_name_cannot_get_out_of_its_comment(path: Path) -> None:
    """A line break, a brace or a template in a name, or in an id, makes no Terraform code."""
    name = 'a\n}\nresource "x" "${file("/etc")}" {'
    fill(path, [good(name)], {name: (State.CREATED, {"remote_id": "est_${x}"})}, ())
    text = output(path, Format.TERRAFORM)
    (found,) = blocks(text)
    assert found["about"] == 'a\\n}\\nresource "x" "${file("/etc")}" {: created at acme, in.jsonl:1'
    assert found["id"] == "est_$${x}"


def test_a_stream_is_imported_once(path: Path) -> None:
    """Two records that met the same stream make one block, since Terraform would manage it twice."""
    ends = {key: (State.CONFLICT, {"remote_id": "est_one"}) for key in ("a", "b")}
    fill(path, [good("a"), good("b")], ends, ())
    text = output(path, Format.TERRAFORM)
    assert labels(text) == ["a"]
    assert "# b: conflict at acme, in.jsonl:2: the stream of a block above" in text


def test_several_tenants_are_told_apart(path: Path) -> None:
    """Each block names its tenant's provider and begins with its label; the head says how to have a file a tenant."""
    fill(path, [good("a"), good("a", tenant="acme-eu.auth0.com"), good("b")], {}, ())
    text = output(path, Format.TERRAFORM)
    assert sorted((one["alias"], one["label"]) for one in blocks(text)) == [
        ("acme", "acme_a"), ("acme", "acme_b"), ("acme_eu_auth0_com", "acme_eu_auth0_com_a"),
    ]  # fmt: skip
    assert f"results {path} --format terraform --tenant acme-eu.auth0.com\n" in text
    own = output(path, Format.TERRAFORM, tenant="acme-eu.auth0.com")
    assert [(one["alias"], one["label"]) for one in blocks(own)] == [(None, "a")]


def test_a_ledger_without_streams_says_so(path: Path) -> None:
    """Nothing to import is told, in a file that is valid all the same."""
    fill(path, [good("a")], {"a": (State.REFUSED, {})}, ())
    assert "# None of these records has a stream" in output(path, Format.TERRAFORM)


def test_one_tenants_records_in_any_form(path: Path) -> None:
    """`--tenant` keeps the rows of one tenant; one that the ledger does not know is refused by naming those it does."""
    fill(path, [good("a"), good("b", tenant="other"), bad("c"), bad()], {}, ())
    assert output(path, Format.JSONL, tenant="other").count("\n") == 1
    assert len(list(csv.DictReader(io.StringIO(output(path, Format.CSV, tenant="acme"))))) == 2
    with pytest.raises(UsageError, match="holds no tenant 'acm'") as error:
        output(path, Format.CSV, tenant="acm")
    assert error.value.hint == "Its tenants: acme, other."


def test_import_blocks_are_no_input(path: Path) -> None:
    """The original lines cannot be had as Terraform."""
    fill(path, [good("a")], {}, ())
    with LedgerReader(path) as reader, pytest.raises(UsageError, match="exclude each other"):
        written(reader, (), None, Format.TERRAFORM, as_lines=True)


NAMES = {
    "=HYPERLINK(1)": "'=HYPERLINK(1)", "+1": "'+1", "-2+3": "'-2+3", "@SUM": "'@SUM", "\t=1": "'\t=1", "＝1": "'＝1",
    "'=1": "''=1", "'tis": "'tis", "a=1": "a=1", 'say "hi", you\r\nthere': 'say "hi", you\r\nthere', "Zürich": "Zürich",
}  # fmt: skip


def test_a_spreadsheet_runs_no_cell(path: Path) -> None:
    """A text that looks like a formula stands behind an apostrophe; one apostrophe less is the text itself."""
    fill(path, [good(name) for name in NAMES], {}, ())
    text = output(path, Format.CSV)
    found = list(csv.DictReader(io.StringIO(text, newline="")))
    assert [row["name"] for row in found] == list(NAMES.values())
    assert text.count("\r\n") == len(NAMES) + 4, (
        "an end for each record and the header; one name, its key and its id hold one"
    )
    assert '"say ""hi"", you\r\nthere"' in text


def test_numbers_in_a_table_are_numbers(path: Path) -> None:
    """Nothing stands before a number, be it negative."""
    fill(path, [good("a")], {"a": (State.CREATED, {"latency_ms": -12.5})}, ())
    (row,) = csv.DictReader(io.StringIO(output(path, Format.CSV)))
    assert (row["latency_ms"], row["attempts"], row["line"]) == ("-12.5", "1", "1")
