"""The configuration file: every key is known, and a wrong one is named with its line and the nearest right one."""

from __future__ import annotations

from pathlib import Path

import pytest

from bulkstreams.config.file import DEFAULTS, TENANT, ConfigFile, read_file
from bulkstreams.errors import ExitCode, UsageError


def error_of(folder: Path, text: str | bytes) -> UsageError:
    """Write a configuration and return the error that reading it raises."""
    path = folder / "bulkstreams.toml"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    with pytest.raises(UsageError) as caught:
        read_file(None, folder)
    assert caught.value.exit_code is ExitCode.USAGE
    return caught.value


def test_without_a_file_there_is_none(tmp_path: Path) -> None:
    """No `bulkstreams.toml` in the folder is no error."""
    assert read_file(None, tmp_path) is None


def test_the_file_of_the_folder_is_read(tmp_path: Path) -> None:
    """Defaults and tenants come out as written, a byte-order mark is nothing."""
    path = tmp_path / "bulkstreams.toml"
    path.write_text('\ufeff[defaults]\nrate = 5\n[tenants.acme]\ndomain = "acme.eu.auth0.com"\n')
    found = read_file(None, tmp_path)
    assert found is not None
    assert found.path == path
    assert found.defaults == {"rate": 5}
    assert found.tenants == {"acme": {"domain": "acme.eu.auth0.com"}}


def test_a_named_file_is_read_instead(tmp_path: Path) -> None:
    """`--config FILE` beats the file of the folder."""
    (tmp_path / "bulkstreams.toml").write_text("[defaults]\nrate = 5\n")
    (tmp_path / "other.toml").write_text("[defaults]\nrate = 6\n")
    found = read_file(tmp_path / "other.toml", tmp_path)
    assert found is not None
    assert found.defaults == {"rate": 6}


def test_a_named_file_must_exist(tmp_path: Path) -> None:
    """A file that was asked for and is missing is an error that names it."""
    with pytest.raises(UsageError, match=r"gone\.toml cannot be read: No such file"):
        read_file(tmp_path / "gone.toml", tmp_path)


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        ("[defaults]\nburst = 3\nburs = 4\n", 3, "defaults.burs is an unknown key (did you mean burst?)"),
        ("[defaults]\n\n  concurency = 4\n", 3, "defaults.concurency is an unknown key (did you mean concurrency?)"),
        ("# rat = 1\n[defaults]\nrat = 1\n", 3, "defaults.rat is an unknown key (did you mean rate?)"),
        ("[defalts]\nrate = 1\n", 1, "defalts is an unknown key (did you mean defaults?)"),
        ("[defaults]\n[tenant.acme]\n", 2, "tenant is an unknown key (did you mean tenants?)"),
        ("rate = 5\n", 1, "rate is an unknown key"),
        ("[defaults]\nxyzzy = 1\n", 2, "defaults.xyzzy is an unknown key"),
        (
            '[tenants.a]\ndomain = "a.auth0.com"\n[tenants.b]\ndomian = "b.auth0.com"\n',
            4,
            "tenants.b.domian is an unknown key (did you mean domain?)",
        ),
        (
            '[defaults]\n[tenants.a]\n"client_secert" = "s3cret"\n',
            3,
            "tenants.a.client_secert is an unknown key (did you mean client_secret?)",
        ),
    ],
)
def test_an_unknown_key_is_named_with_its_line_and_the_nearest_right_one(
    tmp_path: Path, text: str, line: int, said: str
) -> None:
    """The error is where an editor can go: file, line, key; and it never shows the value."""
    error = error_of(tmp_path, text)
    assert error.message == f"{tmp_path / 'bulkstreams.toml'}:{line}: {said}."
    assert "s3cret" not in str(error)


@pytest.mark.parametrize(("text", "known"), [("[defaults]\nx = 1\n", DEFAULTS), ("[tenants.a]\nx = 1\n", TENANT)])
def test_the_hint_of_an_unknown_key_lists_the_known_ones(tmp_path: Path, text: str, known: tuple[str, ...]) -> None:
    """Whoever guessed far off sees all that is allowed there."""
    assert error_of(tmp_path, text).hint == f"Allowed here: {', '.join(known)}."


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("defaults = 1\n", ":1: defaults must be a table."),
        ("tenants = 1\n", ":1: tenants must be a table."),
        ('[tenants]\nacme = "acme.eu.auth0.com"\n', ":2: tenants.acme must be a table."),
        ("[tenants.acme]\ndomain = 5\n", ":2: tenants.acme.domain must be a string."),
        ("[tenants.acme]\ntoken = 5\n", ":2: tenants.acme.token must be a string."),
        ("[tenants.acme]\nsigning_alg = 5\n", ":2: tenants.acme.signing_alg must be a string."),
        ("[defaults]\ntenant = 5\n", ":2: defaults.tenant must be a string."),
    ],
)
def test_a_value_of_the_wrong_kind_is_named(tmp_path: Path, text: str, said: str) -> None:
    """Tables are tables and texts are texts."""
    error = error_of(tmp_path, text)
    assert error.message == f"{tmp_path / 'bulkstreams.toml'}{said}"
    assert error.hint


@pytest.mark.parametrize("text", ["[defaults\n", "rate = \n", b"\xff\xfe", '[defaults]\nrate = "s3cret\n'])
def test_what_is_not_toml_is_told_in_a_sentence(tmp_path: Path, text: str | bytes) -> None:
    """A syntax error names the file, and no value of it."""
    error = error_of(tmp_path, text)
    assert error.message.startswith(f"{tmp_path / 'bulkstreams.toml'} is not TOML: ")
    assert "s3cret" not in str(error)


def test_a_place_without_a_line_of_its_own_is_named_without_one(tmp_path: Path) -> None:
    """An inline table has no line for its keys: the path alone is told, never a wrong line."""
    error = error_of(tmp_path, 'tenants = {acme = {domian = "x"}}\n')
    assert error.message == (
        f"{tmp_path / 'bulkstreams.toml'}: tenants.acme.domian is an unknown key (did you mean domain?)."
    )


def test_ten_thousand_tenants_are_looked_through_once(tmp_path: Path) -> None:
    """Where a key stands is looked up, not searched for: the file is taken apart once, however many tenants ask."""

    class Text(str):
        taken_apart = 0

        def splitlines(self, keepends: bool = False) -> list[str]:
            Text.taken_apart += 1
            return super().splitlines(keepends)

    tables = "".join(f'[tenants."t{i}.eu.auth0.com"]\ndomain = "t{i}.eu.auth0.com"\nrate = 5\n' for i in range(10_000))
    file = ConfigFile(tmp_path / "c.toml", Text(tables))
    places = [file.where(f"tenants.t{i}.eu.auth0.com.rate") for i in range(10_000)]
    assert places[9_999] == f"{tmp_path}/c.toml:30000: tenants.t9999.eu.auth0.com.rate"
    assert Text.taken_apart == 1
