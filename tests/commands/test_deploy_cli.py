"""`import deploy-cli`: every stream of an export becomes a line, and whatever needs a person is told with its place."""

from __future__ import annotations

import json
import stat
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st
from yaml import SafeLoader

from bulkstreams.commands.deploy_cli import yaml_text
from bulkstreams.commands.deploy_cli.command import import_deploy_cli
from bulkstreams.errors import InputError, UsageError
from bulkstreams.model import Record
from bulkstreams.schema import Rules, read_line

MARKER = "##EVENT_STREAM_WEBHOOK_BEARER_TOKEN##"
SECRET = "hunter-2-in-the-export"
ACTION = "0d9f9a1e-6f0c-4c1b-9d55-2f3a4b5c6d7e"


class Ended(NamedTuple):
    """What an import made and told."""

    rows: list[dict[str, Any]]
    code: int
    said: list[str]

    @property
    def told(self) -> str:
        """Return all that it told, but for the last line, which counts."""
        return "\n".join(self.said[:-1])


def run(path: Path, **files: Path | None) -> Ended:
    """Import an export; no secret of it may be told or taken over."""
    said: list[str] = []
    given = {"output": None, "env_template": None, "mappings": None} | files
    lines, code = import_deploy_cli(path, say=said.append, **given)
    assert SECRET not in "\n".join(said)
    assert SECRET.encode() not in b"".join(lines)
    return Ended([json.loads(line) for line in lines], int(code), [one for text in said for one in text.split("\n")])


def webhook(name: str | None = "audit", **authorization: Any) -> dict[str, Any]:
    """Return a stream as deploy-cli exports one."""
    configuration = {
        "webhook_endpoint": "https://example.com/hook",
        "webhook_authorization": authorization or {"method": "bearer", "token": MARKER},
    }
    named = {} if name is None else {"name": name}
    return named | {
        "destination": {"type": "webhook", "configuration": configuration},
        "status": "enabled",
        "subscriptions": [{"event_type": "user.created"}],
    }


def action(action_id: str, name: str = "act") -> dict[str, Any]:
    """Return a stream that is delivered to an action."""
    return webhook(name) | {"destination": {"type": "action", "configuration": {"action_id": action_id}}}


def folder(path: Path, **streams: object) -> Path:
    """Write an export to a folder: a file for each stream, as text where it is one."""
    (path / "event-streams").mkdir(parents=True)
    for stem, stream in streams.items():
        text = stream if isinstance(stream, str) else json.dumps(stream, indent=2)
        (path / "event-streams" / f"{stem}.json").write_text(text, encoding="utf-8")
    return path


def yaml(path: Path, text: str) -> Path:
    """Write an export to a YAML file, whose streams begin in line 4."""
    found = path / "tenant.yaml"
    found.write_text(f"tenant:\n  friendly_name: Acme\neventStreams:\n{text}", encoding="utf-8")
    return found


def stream(line: str, *, name: str = "audit") -> str:
    """Return a stream in YAML, with one more line at its top level."""
    return f"""  - name: {name}
    destination:
      type: eventbridge
      configuration:
        aws_account_id: '012345678901'
        aws_region: eu-central-1
    {line}
"""


@pytest.fixture(params=["libyaml", "Python"])
def parser(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Read YAML by each parser: the one in C, where the platform has it, and the one that is everywhere."""
    if request.param == "Python":
        monkeypatch.setattr(yaml_text, "_LOADER", SafeLoader)


# -- secrets ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("authorization", "field", "variable"),
    [
        ({"method": "bearer", "token": MARKER}, "token", "AUDIT_TOKEN"),
        ({"method": "bearer"}, "token", "AUDIT_TOKEN"),
        ({"method": "bearer", "token": ""}, "token", "AUDIT_TOKEN"),
        ({"method": "bearer", "token": "_VALUE_NOT_SHOWN_"}, "token", "AUDIT_TOKEN"),
        ({"method": "basic", "username": "u", "password": "@@PASSWORD@@"}, "password", "AUDIT_PASSWORD"),
        ({"method": "custom_header", "header_key": "X-Key"}, "header_value", "AUDIT_HEADER_VALUE"),
    ],
)
def test_a_secret_that_an_export_lacks_becomes_a_reference(
    tmp_path: Path, authorization: dict[str, str], field: str, variable: str
) -> None:
    """A marker, nothing, or what stands for nothing: each is a variable of the stream's own, and is named."""
    ended = run(folder(tmp_path, audit=webhook(**authorization)))
    (row,) = ended.rows
    found = row["destination"]["configuration"]["webhook_authorization"]
    assert found == authorization | {field: f"${{env:{variable}}}"}
    assert ended.code == 0
    assert ended.said[1:] == [variable, "converted: 1 stream, 1 secret to set"]


def test_one_marker_for_all_becomes_a_variable_for_each(tmp_path: Path) -> None:
    """Streams that share deploy-cli's one marker have secrets of their own, told apart whatever they are called."""
    ended = run(folder(tmp_path, a=webhook("a b"), b=webhook("a-b"), c=webhook("auth0 api")))
    references = [row["destination"]["configuration"]["webhook_authorization"]["token"] for row in ended.rows]
    assert references == ["${env:A_B_TOKEN}", "${env:A_B_TOKEN_2}", "${env:AUTH0_API_TOKEN_2}"]


def test_a_secret_that_is_written_out_is_not_taken_over(tmp_path: Path) -> None:
    """A secret in the export, or of the mappings, is left where it is, and the note says which variable to set."""
    mappings = tmp_path / "config.json"
    mappings.write_text(json.dumps({"AUTH0_KEYWORD_REPLACE_MAPPINGS": {MARKER.strip("#"): SECRET}}))
    made = folder(tmp_path / "x", a=webhook("a", method="bearer", token=SECRET), b=webhook("b"))
    ended = run(made, mappings=mappings)
    assert ended.code == 0
    assert [
        f"its token is in the export or the mappings, and is not copied: set {name}_TOKEN" in ended.told
        for name in "AB"
    ]
    assert ended.told.count("is not copied") == 2


def test_text_around_a_marker_belongs_to_the_secret(tmp_path: Path) -> None:
    """Of a secret that is made of a marker and more, the variable must hold the whole."""
    value = {"method": "custom_header", "header_key": "Authorization", "header_value": f"Bearer {MARKER}"}
    ended = run(folder(tmp_path, audit=webhook(**value)))
    assert "its header_value is more than a marker; AUDIT_HEADER_VALUE must hold the whole of it" in ended.told
    assert ended.code == 0


# -- actions, and what only the API sets ------------------------------------------------------------------------------


def test_an_action_is_referred_to_by_the_name_that_the_export_has(tmp_path: Path) -> None:
    """A name becomes a reference, a reference stays, an id stays with a note, and what fits neither is told."""
    streams = {
        "a": action("To SIEM", "a"),
        "b": action("${action:X}", "b"),
        "c": action(ACTION, "c"),
        "d": action("{x}", "d"),
    }
    ended = run(folder(tmp_path, **streams))
    found = [row["destination"]["configuration"]["action_id"] for row in ended.rows]
    assert found == ["${action:To SIEM}", "${action:X}", ACTION, "{x}"]
    assert 'c.json: the stream "c": its action is an id, which another tenant does not know' in ended.told
    assert 'd.json: the stream "d": no reference can hold its action\'s name' in ended.told
    assert (ended.code, ended.said[-1]) == (1, "converted: 4 streams, 0 secrets to set, 1 thing to see to")


def test_what_only_the_api_sets_is_left_out(tmp_path: Path) -> None:
    """Ids, times and the partner source go without a word; a property that no create knows is named."""
    bridge = {"aws_account_id": "0" * 12, "aws_region": "us-east-1", "aws_partner_event_source": "aws.partner/x"}
    shown = {"id": "est_1", "created_at": "t", "updated_at": "t", "name": "a", "destination": {"type": "eventbridge"}}
    shown["destination"] = {"type": "eventbridge", "configuration": bridge}
    ended = run(folder(tmp_path, a=shown))
    del bridge["aws_partner_event_source"]
    assert ended.rows == [
        {"name": "a", "destination": {"type": "eventbridge", "configuration": bridge}, "status": "enabled"}
    ]
    assert ended.said == ["converted: 1 stream, 0 secrets to set"]
    ended = run(folder(tmp_path / "more", a=shown | {"shape": "round"}))
    assert 'a.json: the stream "a": shape is no property that a create takes; it is left out' in ended.told
    assert ended.code == 1


# -- markers ----------------------------------------------------------------------------------------------------------


def test_a_marker_elsewhere_is_left_and_told(tmp_path: Path) -> None:
    """An endpoint's marker stays in the line; the file, the line, the stream, the field and the remedy are named."""
    text = stream("subscriptions: @@EVENTS@@").replace("eu-central-1", "##REGION##")
    ended = run(path := yaml(tmp_path, text))
    assert ended.rows[0]["subscriptions"] == "@@EVENTS@@"
    assert ended.rows[0]["destination"]["configuration"]["aws_region"] == "##REGION##"
    place = "destination.configuration.aws_region"
    remedy = "which nothing replaced: give --mappings, or write it out"
    assert f'{path}:9: the stream "audit": {place} holds "##REGION##", {remedy}' in ended.told
    assert f'{path}:10: the stream "audit": subscriptions holds "@@EVENTS@@", {remedy}' in ended.told
    assert (ended.code, ended.said[-1]) == (1, "converted: 1 stream, 0 secrets to set, 2 things to see to")


@pytest.mark.parametrize("wrapped", [True, False])
def test_mappings_resolve_markers(tmp_path: Path, wrapped: bool) -> None:
    """deploy-cli's configuration, or its mappings alone, replace markers before the file is read, quoted or not."""
    mappings: dict[str, Any] = {"REGION": "eu-west-1", "EVENTS": [{"event_type": "user.deleted"}]}
    config = tmp_path / "config.json"
    config.write_text(json.dumps({"AUTH0_KEYWORD_REPLACE_MAPPINGS": mappings} if wrapped else mappings))
    text = stream("subscriptions: @@EVENTS@@").replace("eu-central-1", "##REGION##")
    ended = run(yaml(tmp_path, text), mappings=config)
    assert ended.code == 0
    assert ended.rows[0]["subscriptions"] == mappings["EVENTS"]
    assert ended.rows[0]["destination"]["configuration"]["aws_region"] == "eu-west-1"
    made = webhook() | {"subscriptions": "@@EVENTS@@"}
    assert run(folder(tmp_path / "x", audit=made), mappings=config).rows[0]["subscriptions"] == mappings["EVENTS"]


@pytest.mark.parametrize("text", ["[]", "no json", '{"AUTH0_KEYWORD_REPLACE_MAPPINGS": 5}'])
def test_mappings_that_are_none_are_refused(tmp_path: Path, text: str) -> None:
    """A file that holds no object says what it should be."""
    (config := tmp_path / "config.json").write_text(text)
    with pytest.raises(UsageError) as error:
        run(yaml(tmp_path, stream("status: enabled")), mappings=config)
    assert "config.json" in error.value.hint


# -- names that collide -----------------------------------------------------------------------------------------------


def test_two_streams_of_one_name_are_both_there(tmp_path: Path) -> None:
    """The second is given a key of its own; both places are named, and that the API takes a name once."""
    ended = run(path := yaml(tmp_path, stream("status: enabled") + stream("status: disabled")))
    first, second = ended.rows
    assert (first["status"], second["stream"]["status"], second["key"]) == ("enabled", "disabled", "audit (2)")
    assert (
        f'{path}:11: the stream "audit": {path}:4 has another stream of this name; this one\'s key is "audit (2)"; '
        "the API takes a name once: rename one"
    ) in ended.told
    assert ended.code == 1


def test_equal_streams_without_a_name_are_both_there(tmp_path: Path) -> None:
    """Nothing tells them apart, so the second has a key, and a person is asked."""
    ended = run(folder(tmp_path, a=webhook(None), b=webhook(None)))
    assert "key" in ended.rows[1]
    assert "a.json has a stream like it; this one's key is" in ended.told
    assert ended.code == 1
    references = [json.dumps(row).partition("${env:")[2].partition("}")[0] for row in ended.rows]
    assert references == ["STREAM_TOKEN", "STREAM_TOKEN_2"]


def test_a_file_that_several_streams_may_have_been_written_to_is_told(tmp_path: Path) -> None:
    """`undefined.json` needs a person; a name that no file can have is noted; a file of another name is fine."""
    ended = run(folder(tmp_path, undefined=webhook(None), **{"a-b": webhook("a/b"), "mine": webhook("c/d")}))
    assert "undefined.json: a stream without a name: deploy-cli writes all such streams to this one file" in ended.told
    assert (
        "note: " + str(tmp_path / "event-streams" / "a-b.json") + ': the stream "a/b": its file is called' in ended.told
    )
    assert '"c/d"' not in ended.told
    assert ended.code == 1


def test_names_that_would_share_a_file_are_noted(tmp_path: Path) -> None:
    """In a YAML file both are there, and the note says that a folder would have lost one."""
    ended = run(yaml(tmp_path, stream("status: enabled", name="a/b") + stream("status: enabled", name="a:b")))
    assert [row["name"] for row in ended.rows] == ["a/b", "a:b"]
    assert 'the stream "a:b": an export to a folder would lose it or "a/b", for one file; both are here' in ended.told
    assert ended.code == 0


# -- what is odd ------------------------------------------------------------------------------------------------------


def test_what_run_would_refuse_is_told(tmp_path: Path) -> None:
    """A wrong type, an unknown event, a missing endpoint: told by the rules of `run`, and the line is made."""
    made = webhook() | {"name": 5, "subscriptions": [{"event_type": "user.creatd"}]}
    del made["destination"]["configuration"]["webhook_endpoint"]
    ended = run(folder(tmp_path, audit=made))
    assert "name: must be a string (got 5)" in ended.told
    assert 'unknown event type "user.creatd" (did you mean "user.created"?)' in ended.told
    assert "destination.configuration.webhook_endpoint: is required and missing" in ended.told
    assert (len(ended.rows), ended.code) == (1, 1)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "bad.json:1: is no JSON: expecting property name"),
        ('{\n  "name": "a",\n  "name"\n}', "bad.json:4: is no JSON"),
        ("[1]", "bad.json: an array stands where a stream belongs; nothing was made of it"),
        ("{}", "bad.json: an empty object stands where a stream belongs"),
        ('{"name": "\\ud800"}', "bad.json: is no JSON: half of a surrogate pair"),
        ("[" * 5000 + "]" * 5000, "bad.json: is nested too deeply"),
        ("[" * 200 + "]" * 200, "bad.json: is nested too deeply"),
        ('{"name": 1' + "0" * 5000 + "}", 'name: must be a string (got null)'),
        ('{"name": NaN}', "name: must be a string"),
        ('{"name": "a", "name": "b", "destination": 5}', "name is given twice; the last one counts"),
        ('{"name": "a", "destination": null}', "destination: is required and missing"),
        ('{"name": "a", "destination": {"type": ["x"], "configuration": 3}}', "destination.type"),
        ('{"name": "a", "subscriptions": "all", "destination": {}}', "subscriptions: must be an array"),
    ],
)  # fmt: skip
def test_a_file_that_is_odd_is_told_and_stops_no_other(tmp_path: Path, text: str, words: str) -> None:
    """Whatever stands in one file, it is told with its name, and the next file is converted."""
    ended = run(folder(tmp_path, bad=text, good=webhook("good")))
    assert words in ended.told
    assert ended.rows[-1]["name"] == "good"
    assert ended.code == 1


def test_a_key_given_twice_in_a_file_of_all_streams_is_told(tmp_path: Path) -> None:
    """It is told of the stream that has it, by its place there, and of no other."""
    inner = json.dumps(webhook("b")["destination"]).replace('"method"', '"method": "basic", "method"')
    whole = tmp_path / "tenant.json"
    whole.write_text(f'{{"eventStreams": [{{"name": "a", "destination": {inner}}}, {json.dumps(webhook("c"))}]}}')
    ended = run(whole)
    twice = [one for one in ended.said if "twice" in one]
    path = "destination.configuration.webhook_authorization.method"
    assert twice == [f'{whole}: the stream "a": {path} is given twice; the last one counts']
    assert (len(ended.rows), ended.code) == (2, 1)


def test_a_password_within_an_endpoint_is_noted(tmp_path: Path) -> None:
    """No reference can stand there, so the line has it; the note does not repeat it."""
    made = webhook("a")
    made["destination"]["configuration"]["webhook_endpoint"] = "https://ada:inline-word@example.com/"
    ended = run(folder(tmp_path, a=made, b=webhook("b")))
    assert ended.told.count('the stream "a": its endpoint holds a user or a password, which stands in the line') == 1
    assert "inline-word" not in ended.told
    assert ended.code == 0


def test_a_file_that_deploy_cli_does_not_read_is_noted(tmp_path: Path) -> None:
    """A file that is no JSON, and a folder of YAML beside that of streams, are named, and need nobody."""
    made = folder(tmp_path, a=webhook("a"))
    (made / "event-streams" / "README.md").write_text("hello")
    (made / "tenant.yaml").write_text("tenant: {}\n")
    ended = run(made)
    assert "README.md is no .json file" in ended.told
    assert "tenant.yaml was not read" in ended.told
    assert ended.code == 0


@pytest.mark.usefixtures("parser")
@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("  - name: 'a\n", ":4: is no YAML"),
        ("  - name: a\n   b: c\n", ":5: is no YAML"),
        ("  - name: *nobody\n", ":4: refers to an anchor that stands nowhere before"),
        ("  - &a [*a]\n", ":4: refers to an anchor that stands nowhere before"),
        ("  - name: !!python/name:os.system x\n", ":4: has a value with a tag that no stream holds"),
        ("  - ? [a]\n    : b\n", ":4: has a key that is no text"),
        ('  - name: "\\ud800"\n', ":4: "),
        ("  - name: a\x07\n", ": is no YAML: it holds control characters"),
        ("  - " + "[" * (yaml_text.DEEPEST + 2) + "]" * (yaml_text.DEEPEST + 2), ":4: is nested too deeply"),
        ("  name: a\n", ":4: eventStreams is no list"),
        ("  - a\neventStreams: []\n", ":5: eventStreams is given twice"),
        ("  - a\n---\nb: c\n", ": holds more than one document"),
    ],
)
def test_yaml_that_cannot_be_read_says_where_and_shows_nothing(tmp_path: Path, text: str, words: str) -> None:
    """Each is refused with the file and, where it is known, the line."""
    path = yaml(tmp_path, text)
    with pytest.raises(InputError) as error:
        run(path)
    assert f"{path}{words}" in error.value.message


@pytest.mark.usefixtures("parser")
@pytest.mark.parametrize(
    "text", [f"*{SECRET}", f"!{SECRET} x", f"&{SECRET} *x", f"'{SECRET}", f"%{SECRET}", f"@{SECRET}"]
)
def test_a_secret_that_breaks_the_yaml_is_not_shown(tmp_path: Path, text: str) -> None:
    """What a parser says of a bad value is told without the value."""
    with pytest.raises(InputError) as error:
        run(yaml(tmp_path, f"  - name: a\n    token: {text}\n"))
    assert SECRET not in str(error.value)


@pytest.mark.usefixtures("parser")
def test_lines_that_unfold_to_billions_are_refused(tmp_path: Path) -> None:
    """Aliases of aliases cost no more than a bounded time and memory, as lists and as merges."""
    lists = "".join(f"    l{i}: &l{i} [{', '.join([f'*l{i - 1}'] * 9) if i else 'x'}]\n" for i in range(12))
    with pytest.raises(InputError, match="unfolds to more"):
        run(yaml(tmp_path, "  - name: a\n" + lists))
    merges = "".join(f"    m{i}: &m{i} {{<<: [{', '.join([f'*m{i - 1}'] * 9) if i else ''}]}}\n" for i in range(12))
    with pytest.raises(InputError, match="unfolds to more"):
        run(yaml(tmp_path, "  - name: a\n" + merges))


@pytest.mark.usefixtures("parser")
def test_yaml_is_read_as_it_is_written(tmp_path: Path) -> None:
    """Numbers, dates and `on` are texts; anchors, aliases and merges mean what they mean; a key given twice is told."""
    text = """  - &first
    name: 007
    destination: &bridge
      type: eventbridge
      configuration: {aws_account_id: 123456789012, aws_region: >-
        eu-central-1}
    subscriptions:
      - event_type: user.created
    status: ~
  - <<: *first
    name: on
    destination: *bridge
    name: 2026-01-01
"""
    ended = run(path := yaml(tmp_path, text.replace(">-\n        eu-central-1", "eu-central-1")))
    first, second = ended.rows
    assert first["name"] == "007"
    assert first["destination"]["configuration"]["aws_account_id"] == "123456789012"
    assert (first["status"], second) == ("enabled", first | {"name": "2026-01-01"})
    assert f'{path}:15: the stream "2026-01-01": name is given twice; the last one counts' in ended.told


# -- where it is read and written -------------------------------------------------------------------------------------


def test_an_export_is_found_by_any_of_its_names(tmp_path: Path) -> None:
    """The folder, the folder of streams, one file of it, the YAML file, and the folder with that are all taken."""
    made = folder(tmp_path / "x", audit=webhook())
    written = yaml(tmp_path, stream("status: enabled"))
    paths = [made, made / "event-streams", made / "event-streams" / "audit.json", written, tmp_path]
    assert [run(path).rows[0]["name"] for path in paths] == ["audit"] * 5
    whole = tmp_path / "all.json"
    whole.write_text(json.dumps({"tenant": {}, "eventStreams": [webhook("b \U00010000")]}))
    assert run(whole).rows[0]["name"] == "b \U00010000"


@pytest.mark.parametrize(
    ("name", "data", "words"),
    [
        ("none", None, "there is no"),
        ("empty", b"", "has no eventStreams"),
        ("other.yaml", b"tenant: {}\n", "has no eventStreams"),
        ("list.yaml", b"- a\n", "has no eventStreams"),
        ("other.json", b'{"tenant": {}}', "has no eventStreams"),
        ("text.json", b'{"eventStreams": "all"}', "eventStreams is no list"),
        ("twice.json", b'{"eventStreams": [],\n"eventStreams": []}', "eventStreams is given twice"),
        ("cut.json", b'{\n"eventStreams": [', "cut.json:2: is no JSON"),
        ("latin.yaml", b"eventStreams: \xff\n", "is no UTF-8 text"),
        (".", None, "holds neither event-streams/ nor tenant.yaml"),
    ],
)
def test_what_is_no_export_is_refused_with_a_remedy(tmp_path: Path, name: str, data: bytes | None, words: str) -> None:
    """A path without streams ends the command before anything is written."""
    if data is not None:
        (tmp_path / name).write_bytes(data)
    with pytest.raises(InputError) as error:
        run(tmp_path / name, output=tmp_path / "out.jsonl")
    assert words in error.value.message
    assert error.value.hint
    assert not (tmp_path / "out.jsonl").exists()


@pytest.mark.usefixtures("parser")
@pytest.mark.parametrize("text", ["eventStreams: []\n", "eventStreams:\n", "eventStreams: null\n"])
def test_an_export_without_streams_makes_none(tmp_path: Path, text: str) -> None:
    """A section that is there and empty is an answer."""
    (path := tmp_path / "t.yaml").write_text(text)
    told = "converted: 0 streams, 0 secrets to set; the export holds no event streams, so there was nothing to convert"
    assert run(path) == Ended([], 0, [told])


def test_lines_and_template_are_files_that_run_takes(tmp_path: Path) -> None:
    """The file holds the lines, the template the names, for its owner's eyes alone, and says how to load it."""
    made = folder(tmp_path, a=webhook("a"), b=webhook("b"))
    ended = run(made, output=(out := tmp_path / "out.jsonl"), env_template=(names := tmp_path / "in.env"))
    assert (ended.rows, ended.code) == ([], 0)
    found = [read_line(line, Rules(), lambda _: None) for line in out.read_bytes().splitlines()]
    assert [one.key for one in found if isinstance(one, Record) and not one.notes] == ["a", "b"]
    assert names.read_text() == "A_TOKEN=\nB_TOKEN=\n"
    assert stat.S_IMODE(names.stat().st_mode) == 0o600
    assert f"fill in {names}, then: set -a; . {names}; set +a" in ended.told
    assert sorted(path.name for path in tmp_path.iterdir()) == ["event-streams", "in.env", "out.jsonl"]


def test_a_template_that_was_filled_in_is_not_replaced(tmp_path: Path) -> None:
    """Secrets that somebody typed stay, and then no lines are written either."""
    made = folder(tmp_path, a=webhook("a"))
    (names := tmp_path / "in.env").write_text("A_TOKEN=typed\n")
    with pytest.raises(UsageError, match="holds more than names"):
        run(made, output=(out := tmp_path / "out.jsonl"), env_template=names)
    assert names.read_text() == "A_TOKEN=typed\n"
    assert not out.exists()


def test_nothing_is_written_over_the_export(tmp_path: Path) -> None:
    """A file of the export, the mappings, or the other file that is written cannot be a target."""
    made = folder(tmp_path, a=webhook("a"))
    (config := tmp_path / "c.json").write_text("{}")
    one = tmp_path / "one"
    for files in (
        {"output": made / "event-streams" / "a.json"},
        {"output": config},
        {"output": one, "env_template": one},
    ):
        with pytest.raises(UsageError, match="is a part of the export, or named twice"):
            run(made, mappings=config, **files)
    assert not one.exists()


def test_notes_of_one_kind_end_somewhere(tmp_path: Path) -> None:
    """Hundreds of actions that are ids are counted, not told one by one."""
    ended = run(folder(tmp_path, **{f"a{i:03}": action(ACTION, f"a{i:03}") for i in range(120)}))
    assert len(ended.rows) == 120
    assert len(ended.said) == 22
    assert "100 more of this kind: an action's id" in ended.told


WORDS = st.sampled_from([
    "name", "destination", "type", "configuration", "webhook", "webhook_authorization", "method", "bearer", "token",
    "action", "action_id", "subscriptions", "event_type", "id", "##X##", "@@X@@", "${env:A}", "${action:x}", "a/b", "",
    "<<",
])  # fmt: skip
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | WORDS | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(WORDS, inner, max_size=5),
    max_leaves=20,
)
PIECES = st.lists(
    st.sampled_from([*"'\"[]{},#~\\\t\n", "- ", "name", ": ", "    ", "&a ", "*a ", "!t ", "|\n", "? ", "<<", "---\n",
                     "##X##"])
    | st.text(max_size=3),
    max_size=30,
).map("".join)  # fmt: skip


@given(st.lists(st.dictionaries(WORDS, VALUES, max_size=5) | VALUES, max_size=4))
def test_whatever_an_export_holds_no_stream_is_lost(streams: list[object]) -> None:
    """Every object that is not empty becomes a line, valid or not, and all else is told."""
    with TemporaryDirectory() as made:
        path = Path(made) / "all.json"
        path.write_text(json.dumps({"eventStreams": streams}), encoding="utf-8")
        ended = run(path)
    assert len(ended.rows) == sum(1 for one in streams if isinstance(one, dict) and one)
    assert ended.code == (1 if "to see to" in ended.said[-1] else 0)
    assert ended.told.count("stands where a stream belongs") == len(streams) - len(ended.rows)


@given(PIECES, st.booleans())
def test_whatever_a_file_holds_it_is_read_or_refused(text: str, within: bool) -> None:
    """No text ends in anything but lines, or one error with the file's name and a remedy."""
    with TemporaryDirectory() as made:
        path = Path(made) / "tenant.yaml"
        path.write_text(f"eventStreams:\n  - {text}" if within else text, encoding="utf-8", errors="replace")
        try:
            ended = run(path)
        except InputError as error:
            ended = None
            refusal = error
    assert ended is not None or (str(path) in refusal.message and refusal.hint)
