"""A relay as a process of its own: what a tenant's clients connect to, which can die and come back on the same port.

The server behind it lives on, with its books, so that nothing that was accepted before a death is forgotten.
"""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
from contextlib import suppress
from types import TracebackType
from typing import Self


class Relay:
    """Passes connections on to a port, while it lives."""

    def __init__(self, target: int) -> None:
        self._target = target
        self.port = 0
        self.start()

    def start(self) -> None:
        """Listen, on the port it had before if it had one."""
        command = [sys.executable, __file__, str(self.port), str(self._target)]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        self.port = int(self._process.stdout.readline())

    def kill(self) -> None:
        """Kill it outright: connections break, and new ones are refused."""
        self._process.kill()
        self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.kill()


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    writer.close()


async def _relay(port: int, target: int) -> None:
    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", target)
        await asyncio.gather(_pass_on(reader, back), _pass_on(there, writer))

    listening = socket.create_server(("127.0.0.1", port))
    server = await asyncio.start_server(connected, sock=listening)
    print(listening.getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(_relay(int(sys.argv[1]), int(sys.argv[2])))
