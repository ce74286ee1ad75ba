"""What goes to a tenant's token endpoint, and with which headers."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.scenarios.rig import Desk, webhooks

CLIENT = {"AUTH0_API_TOKEN": None, "AUTH0_CLIENT_ID": "id", "AUTH0_CLIENT_SECRET": "dummy-client-word"}


class Tenant(BaseHTTPRequestHandler):
    """A tenant that has no streams, hands out tokens, and refuses the first of them once it is used to create."""

    protocol_version = "HTTP/1.1"
    asked: list[tuple[str, str | None]]

    def do_GET(self) -> None:
        """Show an empty list."""
        self._answer(200, {"eventStreams": []})

    def do_POST(self) -> None:
        """Hand out a token, or take a create."""
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        bearer = self.headers.get("Authorization")
        self.asked.append((self.path, bearer))
        if self.path == "/oauth/token":
            number = sum(path == self.path for path, _ in self.asked)
            self._answer(200, {"access_token": f"token-{number}", "expires_in": 86_400})
        elif bearer == "Bearer token-1":
            self._answer(401, {"statusCode": 401, "error": "Unauthorized", "message": "Expired token"})
        else:
            self._answer(201, {"id": "est_" + body["name"].rjust(22, "x"), **body})

    def _answer(self, status: int, value: Any) -> None:
        data = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@contextmanager
def tenant() -> Iterator[tuple[str, list[tuple[str, str | None]]]]:
    """Serve a tenant; give its address, and the paths and bearers that it is asked with."""
    handler = type("Asked", (Tenant,), {"asked": []})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}", handler.asked
        server.shutdown()
        thread.join()


def test_a_token_request_carries_no_token(desk: Desk) -> None:
    """Neither the first nor the one after a 401 authenticates twice over: the secret in its body is all there is."""
    with tenant() as (url, asked):
        ended = desk.run("run", desk.write("in.jsonl", webhooks(3)), "--base-url", url, "--json", env=CLIENT)
    assert (ended.code, ended.records) == (0, {"total": 3, "created": 3}), ended
    assert [bearer for path, bearer in asked if path == "/oauth/token"] == [None, None]
    assert {bearer for path, bearer in asked if path != "/oauth/token"} == {"Bearer token-1", "Bearer token-2"}
