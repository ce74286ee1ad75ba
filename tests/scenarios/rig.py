"""The rig of all scenarios: the real command as a process, a real sandbox in a thread, and folders to look through.

Every process that a `Desk` ends is searched for tracebacks and for the planted secrets; a desk that is closed is
searched whole. Waiting is always for a condition, with a limit that only a defect reaches.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.request import Request, urlopen

from bulkstreams.sandbox import Sandbox, SandboxSettings

SECRET = "Planted-literal-9f2c61d7"
ENV_SECRET = "Planted-by-env-77ab03e1"
FILE_SECRET = "Planted-by-file-c4410b2e"
TOKEN = "Planted-token-0d9e55aa"
SECRETS = (SECRET, ENV_SECRET, FILE_SECRET, TOKEN)
"""Values that no output, ledger or result may hold, in any of the forms of `forms`."""

PATIENCE_S = 60.0


def forms(secret: str) -> list[bytes]:
    """Return a secret in the forms in which it could leak."""
    data = secret.encode()
    hashes = [hashlib.new(name, data) for name in ("md5", "sha1", "sha256", "blake2b")]
    return [
        data,
        base64.b64encode(data).rstrip(b"="),
        *(one.hexdigest().encode() for one in hashes),
        *(one.digest() for one in hashes),
    ]


FORMS = [form for secret in SECRETS for form in forms(secret)]


def leaks(data: bytes) -> list[bytes]:
    """Return the forms of planted secrets that stand in some bytes."""
    return [form for form in FORMS if form in data]


def until(condition: Callable[[], Any]) -> Any:
    """Wait until a condition holds, and return what it returned."""
    limit = time.monotonic() + PATIENCE_S
    while time.monotonic() < limit:
        if found := condition():
            return found
        time.sleep(0.002)
    raise AssertionError(f"never came true: {condition}")


def webhook(name: str | None = "audit", *, secret: str = SECRET, **more: Any) -> dict[str, Any]:
    """Return a valid webhook definition; keywords replace its parts."""
    body: dict[str, Any] = {
        "subscriptions": [{"event_type": "user.created"}],
        "destination": {
            "type": "webhook",
            "configuration": {
                "webhook_endpoint": "https://example.com/hook",
                "webhook_authorization": {"method": "bearer", "token": secret},
            },
        },
    }
    return ({} if name is None else {"name": name}) | body | more


def webhooks(count: int, prefix: str = "s") -> list[dict[str, Any]]:
    """Return `count` valid definitions with names of their own."""
    return [webhook(f"{prefix}{i}") for i in range(count)]


def nameless(count: int) -> list[dict[str, Any]]:
    """Return `count` valid definitions without names, told apart by their endpoints."""
    found = []
    for i in range(count):
        one = webhook(None)
        one["destination"]["configuration"]["webhook_endpoint"] = f"https://example.com/{i}"
        found.append(one)
    return found


def as_lines(rows: Iterable[Any]) -> bytes:
    """Return rows as JSON Lines; bytes are taken as they are."""
    return b"".join((row if isinstance(row, bytes) else json.dumps(row).encode()) + b"\n" for row in rows)


class Server:
    """A sandbox in a thread of its own, without a rate limit unless one is given."""

    def __init__(self, **settings: Any) -> None:
        self._sandbox = Sandbox(SandboxSettings(**{"rate": None, "seed": 7, **settings}))
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._over = asyncio.Event()
        self._thread = threading.Thread(target=self._serve)

    def _serve(self) -> None:
        async def serve() -> None:
            async with self._sandbox:
                self._ready.set()
                await self._over.wait()

        self._loop.run_until_complete(serve())
        self._loop.close()

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._ready.wait(PATIENCE_S)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._loop.call_soon_threadsafe(self._over.set)
        self._thread.join()

    @property
    def url(self) -> str:
        """Return the address of the default tenant."""
        return self._sandbox.url

    @property
    def port(self) -> int:
        """Return the port that it listens on."""
        return int(self.url.rpartition(":")[2])

    def url_of(self, tenant: str) -> str:
        """Return the address of a tenant."""
        return self._sandbox.url_of(tenant)

    def books(self) -> dict[str, Any]:
        """Return the books, asked for over HTTP like any judge would."""
        with urlopen(f"{self.url}/_sandbox/books") as answer:
            found: dict[str, Any] = json.load(answer)
        return found

    def accepted(self, tenant: str = "sandbox") -> Counter[str | None]:
        """Return how often each name was created at a tenant."""
        return Counter(one["name"] for one in self.books()["accepted"] if one["tenant"] == tenant)

    def requests(self, kind: str = "create") -> int:
        """Return how many requests of a kind arrived, at all tenants."""
        return sum(one["requests"].get(kind, 0) for one in self.books()["tenants"].values())

    def faults(self) -> int:
        """Return how many requests met a fault."""
        return sum(sum(one["faults"].values()) for one in self.books()["tenants"].values())

    def streams(self, tenant: str = "sandbox") -> list[dict[str, Any]]:
        """Return the live streams of a tenant."""
        return self._sandbox.streams(tenant)

    def seed(self, *definitions: Mapping[str, Any], tenant: str = "sandbox") -> None:
        """Create streams behind the engine's back, as another client would."""
        for one in definitions:
            self._ask("POST", tenant, "", json.dumps(one).encode(), 201)

    def add_action(self, name: str, action_id: str, *, tenant: str = "sandbox") -> None:
        """Give a tenant one more action."""
        self._sandbox.add_action(name, action_id=action_id, tenant=tenant)

    def remove(self, name: str, *, tenant: str = "sandbox") -> None:
        """Delete a stream behind the engine's back."""
        for one in self.streams(tenant):
            if one.get("name") == name:
                self._ask("DELETE", tenant, f"/{one['id']}", None, 204)

    def edit(self, stream_id: str, *, tenant: str = "sandbox", **changes: Any) -> None:
        """Change a stream behind the engine's back."""
        self._ask("PATCH", tenant, f"/{stream_id}", json.dumps(changes).encode(), 200)

    def _ask(self, method: str, tenant: str, path: str, body: bytes | None, status: int) -> None:
        headers = {"Content-Type": "application/json", "Authorization": "Bearer other"}
        url = f"{self.url_of(tenant)}/api/v2/event-streams{path}"
        with urlopen(Request(url, data=body, headers=headers, method=method)) as answer:
            assert answer.status == status


class Ended:
    """A process that came to its end: its exit code and what it wrote."""

    def __init__(self, code: int, out: bytes, err: bytes) -> None:
        self.code, self.out, self.err = code, out.decode(), err.decode()

    def __repr__(self) -> str:
        return f"exit {self.code}\n-- stdout\n{self.out}\n-- stderr\n{self.err}"

    @property
    def json(self) -> Any:
        """Return what `--json` printed: one object and nothing else."""
        assert self.out.count("\n") == 1, self
        return json.loads(self.out)

    @property
    def rows(self) -> list[dict[str, Any]]:
        """Return the JSON lines that it printed."""
        return [json.loads(line) for line in self.out.splitlines()]

    @property
    def records(self) -> dict[str, int]:
        """Return the counts of `--json`, those that are zero left out."""
        counts = self.json["records"]
        assert counts["total"] == sum(count for name, count in counts.items() if name != "total"), self
        return {name: count for name, count in counts.items() if count}


class Running:
    """A process of ours that goes on; it is killed where the test forgets it."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self.process = process
        self._err = bytearray()
        self._out = bytearray()
        self._readers = [
            threading.Thread(target=self._drain, args=(pipe, to), daemon=True)
            for pipe, to in ((process.stderr, self._err), (process.stdout, self._out))
        ]
        for reader in self._readers:
            reader.start()

    @staticmethod
    def _drain(pipe: Any, to: bytearray) -> None:
        while data := pipe.read1(65536):
            to += data

    @property
    def err(self) -> str:
        """Return what it wrote to standard error until now."""
        return self._err.decode(errors="replace")

    def says(self, text: str) -> None:
        """Wait until it has written a text to standard error."""
        until(lambda: text in self.err)

    def signal(self, number: int) -> None:
        """Send it a signal."""
        self.process.send_signal(number)

    def wait(self) -> Ended:
        """Wait for its end."""
        code = self.process.wait(PATIENCE_S)
        for reader in self._readers:
            reader.join()
        for pipe in (self.process.stdout, self.process.stderr):
            assert pipe is not None
            pipe.close()
        ended = Ended(code, bytes(self._out), bytes(self._err))
        assert "Traceback" not in ended.err, ended
        assert "Traceback" not in ended.out, ended
        assert "a defect of bulkstreams" not in ended.err, ended
        assert "Unclosed" not in ended.err, ended
        assert not leaks(bytes(self._out) + bytes(self._err)), ended
        return ended

    def end(self) -> None:
        """Kill it where it still runs, and let its pipes go."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        for reader, pipe in zip(self._readers, (self.process.stderr, self.process.stdout), strict=True):
            reader.join()
            assert pipe is not None
            pipe.close()

    def kill(self) -> None:
        """Kill it outright (SIGKILL): no handler runs, nothing is flushed."""
        self.process.kill()
        self.wait()


class Desk:
    """A folder to run commands in, with an environment of its own: a token, and nothing of this machine's accounts.

    `prefix` is a command that runs the commands, such as one that limits them.
    """

    def __init__(self, folder: Path, **environment: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.prefix: list[str] = []
        self._inputs: set[str] = set()
        self._running: list[Running] = []
        self.environment = {
            "PATH": os.environ.get("PATH", ""),
            "HOME": str(folder),
            "LC_ALL": "C.UTF-8",
            "COLUMNS": "200",
            "NO_COLOR": "1",
            "AUTH0_API_TOKEN": TOKEN,
            "HOOK_SECRET": ENV_SECRET,
            **environment,
        }

    def write(self, name: str, rows: Iterable[Any] | bytes) -> str:
        """Write an input and return its name."""
        data = rows if isinstance(rows, bytes) else as_lines(rows)
        (self.folder / name).write_bytes(data)
        self._inputs.add(name)
        return name

    def start(self, *arguments: str | Path, stdin: bytes | None = None, env: Mapping[str, str | None] = {}) -> Running:
        """Start a command; an `env` value of None takes a variable away."""
        environment = {name: value for name, value in {**self.environment, **env}.items() if value is not None}
        process = subprocess.Popen(
            [*self.prefix, sys.executable, "-m", "bulkstreams", *map(str, arguments)],
            cwd=self.folder,
            env=environment,
            stdin=subprocess.DEVNULL if stdin is None else subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        if stdin is not None:
            assert process.stdin is not None
            process.stdin.write(stdin)
            process.stdin.close()
        return self.watch(process)

    def watch(self, process: subprocess.Popen[bytes]) -> Running:
        """Take a process with pipes for both outputs; it is killed where the test forgets it."""
        running = Running(process)
        self._running.append(running)
        return running

    def run(self, *arguments: str | Path, stdin: bytes | None = None, env: Mapping[str, str | None] = {}) -> Ended:
        """Run a command to its end."""
        return self.start(*arguments, stdin=stdin, env=env).wait()

    def provision(self, server: Server, *arguments: str | Path, env: Mapping[str, str | None] = {}) -> Ended:
        """Run `run … --json` against a server to its end."""
        return self.start_provision(server, *arguments, env=env).wait()

    def start_provision(self, server: Server, *arguments: str | Path, env: Mapping[str, str | None] = {}) -> Running:
        """Start `run … --json` against a server."""
        return self.start("run", *arguments, "--base-url", server.url, "--json", env=env)

    def ask(self, sql: str, ledger: str = "in.ledger.db") -> list[tuple[Any, ...]]:
        """Ask the ledger, as any SQLite tool may while a run goes on; nothing where there is no ledger yet."""
        try:
            db = sqlite3.connect(f"file:{self.folder / ledger}?mode=ro", uri=True)
        except sqlite3.OperationalError:
            return []
        try:
            return db.execute(sql).fetchall()
        except sqlite3.OperationalError:
            return []
        finally:
            db.close()

    def states(self, ledger: str = "in.ledger.db") -> dict[str, int]:
        """Return how many records of the ledger are in each state."""
        return dict(self.ask("SELECT state, count(*) FROM record GROUP BY state", ledger))

    def settled(self, ledger: str = "in.ledger.db") -> list[dict[str, Any]]:
        """Return what `results` would, read straight from the ledger's own view of it."""
        columns = ("tenant", "name", "state", "remote_id", "attempts", "recovered", "message")
        return [
            dict(zip(columns, row, strict=True))
            for row in self.ask(f"SELECT {', '.join(columns)} FROM results", ledger)
        ]

    def results(self, *arguments: str, ledger: str = "in.ledger.db") -> list[dict[str, Any]]:
        """Return the rows of `results`."""
        ended = self.run("results", ledger, *arguments)
        assert ended.code == 0, ended
        return ended.rows

    def close(self) -> None:
        """Kill what still runs, and search every file that is no input for the planted secrets."""
        for running in self._running:
            running.end()
        for path in self.folder.rglob("*"):
            if path.is_file() and str(path.relative_to(self.folder)) not in self._inputs:
                assert not leaks(path.read_bytes()), f"{path.name} holds a secret"


def configuration(tenants: Mapping[str, Server]) -> bytes:
    """Return a bulkstreams.toml whose tenants stand at servers of their own."""
    tables = [
        f'[tenants.{name}]\nbase_url = "{server.url_of(name)}"\ntoken = "{TOKEN}"\n' for name, server in tenants.items()
    ]
    return "".join(tables).encode()


def for_each(tenants: Iterable[str], rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the same definitions for several tenants, in turns."""
    return [{"tenant": tenant, "stream": row} for row in rows for tenant in tenants]


def once_each(rows: Sequence[Mapping[str, Any]]) -> Counter[str | None]:
    """Return the accepted creates that a tenant's books must show for some definitions."""
    return Counter(row.get("name") for row in rows)


INT, TERM, KILL = signal.SIGINT, signal.SIGTERM, signal.SIGKILL
