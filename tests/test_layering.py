"""The walls of the house: who may import whom, and what the core may touch."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "bulkstreams"
ROWS: dict[str, int] = {
    "errors": 0, "model": 0,
    "core": 1,
    "schema": 2, "config": 2, "secrets": 2, "source": 2, "ledger": 2, "auth": 2, "client": 2, "limiter": 2,
    "histogram": 2,
    "engine": 3,
    "commands": 4, "report": 4, "sandbox": 4, "failpoints": 4,
    "job": 5, "cli": 5,
    "__init__": 6, "__main__": 6,
}  # fmt: skip
SANDBOX_MAY_IMPORT = {"errors", "model", "sandbox"}
CORE_MUST_NOT_IMPORT = {
    "asyncio", "anyio", "aiohttp", "time", "datetime", "random", "secrets", "os", "io", "pathlib", "socket",
    "sqlite3", "logging", "pydantic", "orjson", "uuid",
}  # fmt: skip
CORE_MUST_NOT_CALL = {"open", "print", "input"}
BAD_NAMES = {"utils", "helpers", "common", "base", "manager", "misc"}
MODULES = sorted(PACKAGE.rglob("*.py"))


def room(path: Path) -> str:
    """Return the room a file belongs to: the first name below the package."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports(tree: ast.AST) -> set[str]:
    """Return every dotted name that a module imports, at any depth, type-checking blocks included."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
        assert not (isinstance(node, ast.ImportFrom) and node.level), "imports are absolute"
    return found


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_a_module_imports_only_lower_rows(path: Path) -> None:
    """A room sees the rooms below it, and nothing beside or above it."""
    own = room(path)
    for name in imports(ast.parse(path.read_text())):
        parts = name.split(".")
        if parts[0] != "bulkstreams" or len(parts) < 2:
            continue
        other = parts[1] if parts[1] in ROWS else "__init__"
        if other == own:
            continue
        assert ROWS[other] < ROWS[own], f"{own} (row {ROWS[own]}) imports {other} (row {ROWS[other]})"
        assert own != "sandbox" or other in SANDBOX_MAY_IMPORT, "the sandbox judges the rest, so shares none of it"


@pytest.mark.parametrize("path", sorted((PACKAGE / "core").rglob("*.py")), ids=lambda p: p.name)
def test_the_core_only_computes(path: Path) -> None:
    """Nothing in the core waits, reads a clock, draws chance, or touches a file, a socket or a log."""
    tree = ast.parse(path.read_text())
    assert not {name.split(".")[0] for name in imports(tree)} & CORE_MUST_NOT_IMPORT
    for node in ast.walk(tree):
        assert not isinstance(node, ast.Await | ast.AsyncFunctionDef | ast.AsyncFor | ast.AsyncWith)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            assert node.func.id not in CORE_MUST_NOT_CALL


def test_only_the_border_rooms_speak_http() -> None:
    """aiohttp's client is imported by `client` and `auth` alone; the sandbox has aiohttp's server."""
    speakers = {room(p) for p in MODULES if any(n.startswith("aiohttp") for n in imports(ast.parse(p.read_text())))}
    assert speakers <= {"client", "auth", "sandbox"}


def test_no_module_has_a_name_that_means_nothing() -> None:
    """A room named for everything is a room for nothing."""
    assert not {p.stem for p in MODULES} & BAD_NAMES
