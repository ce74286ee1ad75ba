"""Secrets are found where references say, and never shown."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from urllib.parse import quote

import pytest

from bulkstreams.core.references import Reference, parse_reference
from bulkstreams.errors import ExitCode, SecretError
from bulkstreams.secrets import MAX_SECRET, SecretResolver, mask, read_token_file

PEM = "-----BEGIN PRIVATE KEY-----\nabc\n-----END PRIVATE KEY-----\n"


def env(name: str) -> Reference:
    """Return a reference to a variable."""
    return Reference("env", name)


def file(name: str) -> Reference:
    """Return a reference to a file."""
    return Reference("file", name)


class CountingEnvironment(dict[str, str]):
    """An environment that counts how often it is asked."""

    asked = 0

    def get(self, name: str, default: str | None = None) -> str | None:  # type: ignore[override]
        """Count, then look up."""
        self.asked += 1
        return super().get(name, default)


def test_a_variable_is_resolved(tmp_path: Path) -> None:
    """`${env:NAME}` is the variable's value."""
    assert SecretResolver({"A": "s3cret"}, tmp_path).resolve(env("A")) == "s3cret"


@pytest.mark.parametrize(("value", "words"), [({}, "is not set"), ({"A": ""}, "is empty")])
def test_a_missing_or_empty_variable_is_told_by_its_name(tmp_path: Path, value: dict[str, str], words: str) -> None:
    """A variable that holds nothing is a problem for a line, and a usage error for the configuration."""
    resolver = SecretResolver(value, tmp_path)
    assert resolver.problem(env("A")) == f"the environment variable A {words}"
    with pytest.raises(SecretError, match=f"A {words}") as caught:
        resolver.resolve(env("A"))
    assert caught.value.exit_code is ExitCode.USAGE
    assert caught.value.hint


@pytest.mark.parametrize("text", ["one\r\nX-Evil: two", "nul\0byte", "two\nlines", "bell\a"])
def test_a_variable_with_control_characters_is_refused_unseen(tmp_path: Path, text: str) -> None:
    """What could break out of a header is no secret, and the problem does not repeat it."""
    problem = SecretResolver({"A": text}, tmp_path).problem(env("A"))
    assert problem == "the environment variable A holds control characters"


def test_a_key_of_several_lines_may_stand_in_a_variable(tmp_path: Path) -> None:
    """A PEM key is the one secret that has lines."""
    assert SecretResolver({"KEY": PEM}, tmp_path).resolve(env("KEY")) == PEM


def test_a_file_is_found_from_the_folder_and_loses_its_last_line_end(tmp_path: Path) -> None:
    """`${file:PATH}` is relative to the resolver's folder; an editor's final newline is no part of the secret."""
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "token").write_bytes(b"s3cret\r\n")
    assert SecretResolver({}, tmp_path).resolve(file("deep/token")) == "s3cret"
    assert SecretResolver({}, Path("/nowhere")).resolve(file(str(tmp_path / "deep/token"))) == "s3cret"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "cannot be read (No such file or directory)"),
        (b"", "is empty"),
        (b"\n", "is empty"),
        (b"\xff\xfes3cret", "is not text"),
        (b"s" * (MAX_SECRET + 1), "is too large for a secret"),
    ],
)
def test_a_file_that_holds_no_secret_is_told_by_its_name(tmp_path: Path, content: bytes | None, words: str) -> None:
    """A file that is missing, empty, binary or huge is named, and nothing of its content is."""
    if content is not None:
        (tmp_path / "f").write_bytes(content)
    problem = SecretResolver({}, tmp_path).problem(file("f"))
    assert problem == f"the file {tmp_path / 'f'} {words}"


def test_a_folder_is_no_secret(tmp_path: Path) -> None:
    """A path that is a folder is a problem, not a crash."""
    assert "cannot be read" in str(SecretResolver({}, tmp_path).problem(file(".")))


def test_each_reference_is_looked_up_once(tmp_path: Path) -> None:
    """A million lines with one reference read it one time."""
    environment = CountingEnvironment(A="x")
    resolver = SecretResolver(environment, tmp_path)
    assert [resolver.problem(env("A")), resolver.resolve(env("A")), resolver.resolve(env("A"))] == [None, "x", "x"]
    assert environment.asked == 1


def test_a_resolver_shows_no_secret(tmp_path: Path) -> None:
    """The resolver's repr holds nothing of what it knows."""
    resolver = SecretResolver({"A": "s3cret"}, tmp_path)
    resolver.resolve(env("A"))
    assert "s3cret" not in repr(resolver)


def test_a_literal_is_no_reference() -> None:
    """Only a whole `${env:…}` or `${file:…}` is a reference."""
    assert parse_reference("${env:A}") == env("A")
    assert parse_reference("x${env:A}") is None


def test_a_token_file_holds_one_token(tmp_path: Path) -> None:
    """White space around the token is dropped."""
    path = tmp_path / "token"
    path.write_text("  ey.J0.eXA \n\n")
    assert read_token_file(path) == "ey.J0.eXA"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "cannot be read: No such file or directory"),
        (b" \n", "is empty"),
        (b"s3cret\ns3cret", "holds more than one token"),
        (b"s3cret s3cret", "holds more than one token"),
        (b"\xffs3cret", "is not text"),
        (b"s3cret" * MAX_SECRET, "is too large for a secret"),
    ],
)
def test_a_wrong_token_file_is_told_by_its_name(tmp_path: Path, content: bytes | None, words: str) -> None:
    """The error names the file and the remedy, never what is in it."""
    path = tmp_path / "token"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(SecretError) as caught:
        read_token_file(path)
    assert caught.value.message == f"the token file {path} {words}."
    assert caught.value.hint
    assert "s3cret" not in str(caught.value)


SECRET = 'pa"ss\\wörd/+ 1'


@pytest.mark.parametrize(
    "written",
    [
        SECRET,
        json.dumps(SECRET),
        json.dumps(SECRET, ensure_ascii=False),
        quote(SECRET, safe=""),
        base64.b64encode(SECRET.encode()).decode(),
    ],
)
def test_a_secret_is_masked_however_it_is_written(written: str) -> None:
    """Plain, in JSON, in a URL, in base64: what comes back from a server shows three asterisks."""
    masked = mask(f"does not match: <{written}>!", [SECRET])
    assert masked in {"does not match: <***>!", 'does not match: <"***">!'}


def test_a_secret_that_contains_another_is_masked_whole() -> None:
    """The longest goes first, so that no tail of it is left."""
    assert mask("got abc-def", ["abc", "abc-def"]) == "got ***"


def test_an_empty_secret_masks_nothing() -> None:
    """An empty secret is nowhere, not between all letters."""
    assert mask("text", [""]) == "text"
