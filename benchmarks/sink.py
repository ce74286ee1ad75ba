"""A server that accepts every create at once: `python -m benchmarks.sink` prints its port and serves until killed.

It is no HTTP server worth the name: it answers each create with one fixed 201 and has no streams to list, so that what
is measured is the client. It keeps a connection open and says so, as HTTP/1.0 wants to hear it (`ab`).
"""

from __future__ import annotations

import asyncio
import sys
from typing import Final, cast

BODY: Final = (
    b'{"id":"est_7sKQxXnmzwvYjL3ZyTqRbh","status":"enabled","name":"benchmark","subscriptions":[{"event_type":'
    b'"user.created"}],"created_at":"2026-01-01T00:00:00.000Z","updated_at":"2026-01-01T00:00:00.000Z","destination":'
    b'{"type":"webhook","configuration":{"webhook_endpoint":"https://hooks.example.com/","webhook_authorization":'
    b'{"method":"bearer"}}}}'
)


def _answer(status: bytes, body: bytes) -> bytes:
    return (
        b"HTTP/1.1 " + status + b"\r\nContent-Type: application/json; charset=utf-8\r\nConnection: keep-alive\r\n"
        b"Date: Thu, 01 Jan 2026 00:00:00 GMT\r\nx-ratelimit-limit: 1000000\r\nx-ratelimit-remaining: 999999\r\n"
        b"x-ratelimit-reset: 1767225601\r\nContent-Length: " + str(len(body)).encode() + b"\r\n\r\n" + body
    )


ANSWER: Final = _answer(b"201 Created", BODY)
NO_STREAMS: Final = _answer(b"200 OK", b'{"eventStreams":[]}')


class Sink(asyncio.Protocol):
    """Counts requests by their ends and answers each."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self._transport = cast("asyncio.Transport", transport)
        self._rest = b""

    def data_received(self, data: bytes) -> None:
        """Answer every request that is whole."""
        self._rest += data
        answers: list[bytes] = []
        while (end := self._rest.find(b"\r\n\r\n")) >= 0:
            head = self._rest[:end].lower()
            at = head.find(b"content-length:")
            length = int(head[at + 15 :].split(b"\r\n", 1)[0]) if at >= 0 else 0
            if len(self._rest) < end + 4 + length:
                break
            self._rest = self._rest[end + 4 + length :]
            answers.append(NO_STREAMS if head.startswith(b"get ") else ANSWER)
        if answers:
            self._transport.write(b"".join(answers))


async def main() -> None:
    """Serve on a free port of this machine."""
    server = await asyncio.get_running_loop().create_server(Sink, "127.0.0.1", 0, backlog=4096)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    try:
        import uvloop

        uvloop.run(main())
    except ImportError:
        asyncio.run(main())
    except KeyboardInterrupt:
        sys.exit(0)
