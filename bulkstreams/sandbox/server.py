"""The sandbox itself: a server on a loopback address, with latency and faults between the socket and the API.

A request goes: rate, fault drawn, latency, effect, answer. A client that leaves does not stop its request: as at a
real server, what was received takes effect. This module must never decide what the API answers.
"""

from __future__ import annotations

import asyncio
import errno
import math
import socket
import struct
import time
from collections.abc import Awaitable, Callable, Mapping
from email.utils import formatdate
from functools import lru_cache
from random import Random, SystemRandom
from types import TracebackType
from typing import Any, Final, Self

import orjson
from aiohttp import web

from bulkstreams.errors import UsageError
from bulkstreams.sandbox import answers
from bulkstreams.sandbox.actions import TRIGGER
from bulkstreams.sandbox.answers import Answer
from bulkstreams.sandbox.api import Asked, TenantApi
from bulkstreams.sandbox.books import Books
from bulkstreams.sandbox.faults import Dice, Fault, check_faults, fault_kind
from bulkstreams.sandbox.limits import Grant
from bulkstreams.sandbox.plight import Plight
from bulkstreams.sandbox.routes import DEFAULT_TENANT, Kind, route
from bulkstreams.sandbox.settings import SandboxSettings
from bulkstreams.sandbox.tokens import TokenDesk

_HUNG_LOOK_S: Final = 0.05  # how often a hung request looks whether its client is still there
_SHUTDOWN_S: Final = 1.0
_KEEP_ALIVE_S: Final = 75.0
_BACKLOG: Final = 4096  # many tenants begin at once; what does not fit waits a second and more, or is reset
_HALF_A_HEAD: Final = b"HTTP/1.1 204 No Con"
_NEVER_SENT: Final = 599  # the status of a response object for a connection that is gone


class Sandbox:
    """A local Auth0: `async with Sandbox(settings) as sandbox`, then point a client at `sandbox.url`.

    `clock` gives epoch seconds, from which the settings' skew leads to all that the sandbox tells of time, its `Date`
    included; `sleep` waits for latency and late effects.
    """

    def __init__(
        self,
        settings: SandboxSettings | None = None,
        *,
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        self.settings = settings or SandboxSettings()
        self.seed = SystemRandom().getrandbits(32) if self.settings.seed is None else self.settings.seed
        self._machine_clock = clock
        self._sleep = sleep
        self._books = Books()
        self._desk = TokenDesk(self.settings, self._chance("tokens"))
        self._latency = self._chance("latency")
        kinds = [fault_kind(name) for name in self.settings.faults_on]
        self._dice = Dice(check_faults(self.settings.faults), self._chance, kinds)
        self._tenants: dict[str, TenantApi] = {}
        self._waiting: set[asyncio.Task[Any]] = set()
        self._runner: web.ServerRunner | None = None
        self._address = ""

    async def __aenter__(self) -> Self:
        runner = web.ServerRunner(
            web.Server(self._serve, access_log=None, keepalive_timeout=_KEEP_ALIVE_S), shutdown_timeout=_SHUTDOWN_S
        )
        await runner.setup()
        host, port = self.settings.host, self.settings.port
        try:
            await web.TCPSite(runner, host, port, backlog=_BACKLOG).start()
        except OSError as error:
            await runner.cleanup()
            raise _cannot_listen(error, host, port) from error
        self._runner = runner
        self._address = f"http://{f'[{host}]' if ':' in host else host}:{runner.addresses[0][1]}"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._runner is None:
            return
        for site in list(self._runner.sites):
            await site.stop()
        for task in self._waiting:
            task.cancel()
        await self._runner.cleanup()
        self._runner = None

    @property
    def url(self) -> str:
        """Return the base URL of the default tenant."""
        return self._address

    def url_of(self, tenant: str) -> str:
        """Return the base URL of a tenant."""
        return f"{self._address}/t/{tenant}"

    def books(self, tenant: str | None = None) -> dict[str, Any]:
        """Return the books, as `GET /_sandbox/books` shows them: of the whole server, or of one tenant."""
        return {"seed": self.seed, **self._books.as_dict(tenant)}

    def streams(self, tenant: str = DEFAULT_TENANT) -> list[dict[str, Any]]:
        """Return the live streams of a tenant as its API shows them, oldest first."""
        api = self._tenants.get(tenant)
        return [orjson.loads(stream.shown) for stream in api.streams] if api else []

    def actions(self, tenant: str = DEFAULT_TENANT) -> list[dict[str, Any]]:
        """Return the actions of a tenant as its API shows them."""
        return [one.shown for one in self._tenant(tenant).actions]

    def add_action(
        self, name: str, *, tenant: str = DEFAULT_TENANT, action_id: str | None = None, trigger: str = TRIGGER,
        deployed: bool = True,
    ) -> str:  # fmt: skip
        """Give a tenant one more action, and return its id (None given: one of its own)."""
        added = self._tenant(tenant).actions.add(
            name, self._clock(), action_id=action_id, trigger=trigger, deployed=deployed
        )
        return added.id

    async def _serve(self, request: web.BaseRequest) -> web.StreamResponse:
        call = route(request.method, request.raw_path)
        if call.kind is Kind.BOOKS:
            return _response(Answer(200, orjson.dumps(self.books(call.tenant))), {}, self._clock())
        try:
            body = await _read_body(request)
        except (ConnectionError, web.RequestPayloadError):
            return _gone()  # the client left in the middle of its request: nothing was asked
        headers = request.headers
        asked = Asked(call, headers.get("Authorization"), _media_type(headers.get("Content-Type", "")), body)
        api = self._tenant(call.tenant or DEFAULT_TENANT)
        api.counts.requests[call.kind] += 1
        if api.plight is Plight.DOWN:
            return _reset(request)
        grant, refusal = api.admit(call.kind, self._clock())
        if refusal is not None:
            return self._reply(api, refusal, grant)
        fault = self._dice.draw(call.kind)
        if self.settings.latency[1]:
            await self._pause(self._latency.uniform(*self.settings.latency))
        if fault is None:
            return self._reply(api, api.answer(asked, self._clock()), grant)
        api.counts.faults[fault] += 1
        return await self._misbehave(fault, request, api, asked, grant)

    async def _misbehave(
        self, fault: Fault, request: web.BaseRequest, api: TenantApi, asked: Asked, grant: Grant | None
    ) -> web.StreamResponse:
        match fault:
            case Fault.THROTTLE:
                told, refusal = api.throttle(self._clock())
                return self._reply(api, refusal, told)
            case Fault.HTML_502:
                return self._reply(api, answers.html_502(request.host), None)
            case Fault.ERROR_BEFORE:
                return self._break(asked.call.kind, api, grant)
            case Fault.RESET_BEFORE:
                return _reset(request)
            case Fault.LATE:
                gone = _reset(request)
                await self._pause(self.settings.late_by)
                api.answer(asked, self._clock())
                return gone
            case _:
                answer = api.answer(asked, self._clock())
                return await self._lose(fault, request, api, asked.call.kind, answer, grant)

    async def _lose(
        self, fault: Fault, request: web.BaseRequest, api: TenantApi, kind: Kind, answer: Answer, grant: Grant | None
    ) -> web.StreamResponse:
        """Keep the answer to something that took effect from its client."""
        if fault is Fault.ERROR_AFTER:
            return self._break(kind, api, grant)
        if fault is Fault.RESET_AFTER:
            return _reset(request)
        if fault is Fault.TRUNCATE:
            api.counts.statuses[answer.status] += 1
            return await _truncate(request, answer, self._headers(answer, grant))
        while request.transport is not None:
            await self._wait(asyncio.sleep(_HUNG_LOOK_S))
        return _gone()

    def _break(self, kind: Kind, api: TenantApi, grant: Grant | None) -> web.Response:
        answer = answers.broken(self._dice.broken_status(kind))
        return self._reply(api, answer, grant if answer.status == 500 else None)  # a gateway knows of no budget

    def _reply(self, api: TenantApi, answer: Answer, grant: Grant | None) -> web.Response:
        api.counts.statuses[answer.status] += 1
        return _response(answer, self._headers(answer, grant), self._clock())

    def _headers(self, answer: Answer, grant: Grant | None) -> dict[str, str]:
        headers = dict(answer.headers)
        if grant is not None and self.settings.limit_headers:
            headers["x-ratelimit-limit"] = str(grant.limit)
            headers["x-ratelimit-remaining"] = str(grant.remaining)
            headers["x-ratelimit-reset"] = str(grant.reset)
        if grant is not None and answer.status == 429 and self.settings.retry_after:
            headers["Retry-After"] = str(max(1, math.ceil(grant.retry_at - self._clock())))
        return headers

    def _clock(self) -> float:
        return self._machine_clock() + self.settings.clock_skew

    def _tenant(self, name: str) -> TenantApi:
        api = self._tenants.get(name)
        if api is None:
            api = TenantApi(name, self.settings, self._desk, self._books, self._chance, self._clock())
            self._tenants[name] = api
        return api

    def _chance(self, purpose: str) -> Random:
        """Return a generator of its own for each purpose, so that one more tenant does not move the faults."""
        return Random(f"{self.seed} {purpose}")  # noqa: S311 - reproducible on purpose

    async def _pause(self, seconds: float) -> None:
        await self._wait(self._sleep(seconds))

    async def _wait(self, waking: Awaitable[object]) -> None:
        """Wait in a way that the end of the sandbox can cut short."""
        task = asyncio.current_task()
        assert task is not None
        self._waiting.add(task)
        try:
            await waking
        finally:
            self._waiting.discard(task)


def _cannot_listen(error: OSError, host: str, port: int) -> UsageError:
    if error.errno == errno.EADDRINUSE:
        return UsageError(
            f"port {port} of {host} is in use",
            hint="Stop what listens there, or choose another: --port 0 takes a free one.",
        )
    return UsageError(f"cannot listen on {host}:{port}: {error.strerror}", hint="Choose another port with --port.")


async def _read_body(request: web.BaseRequest) -> bytes | None:
    """Return the body, or None where it is larger than any endpoint takes."""
    if (request.content_length or 0) > answers.MAX_BODY:
        return None
    if not request.body_exists:
        return b""
    body = await request.content.readany()
    while not request.content.at_eof() and len(body) <= answers.MAX_BODY:
        body += await request.content.readany()
    return body if len(body) <= answers.MAX_BODY else None


@lru_cache(maxsize=64)
def _media_type(content_type: str) -> str:
    return content_type.partition(";")[0].strip().lower()


@lru_cache(maxsize=4)
def _date(second: int) -> str:
    return formatdate(second, usegmt=True)


def _response(answer: Answer, headers: dict[str, str], now: float) -> web.Response:
    if answer.content_type is not None:
        headers["Content-Type"] = answer.content_type
    headers["Date"] = _date(math.floor(now))
    return web.Response(status=answer.status, body=answer.body or None, headers=headers)


def _gone() -> web.Response:
    return web.Response(status=_NEVER_SENT)


def _reset(request: web.BaseRequest) -> web.Response:
    """End the connection with a TCP reset, unread and unanswered."""
    if request.transport is not None:
        connection = request.transport.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        request.transport.abort()
    return _gone()


async def _truncate(request: web.BaseRequest, answer: Answer, headers: Mapping[str, str]) -> web.StreamResponse:
    """Send the head and half of the body, then end the connection in good order; without a body, half of the head."""
    if not answer.body:
        if request.transport is not None:
            request.transport.write(_HALF_A_HEAD)
            request.transport.close()
        return _gone()
    response = web.StreamResponse(status=answer.status, headers={**headers, "Content-Type": answers.JSON})
    response.content_length = len(answer.body)
    try:
        await response.prepare(request)
        await response.write(answer.body[: len(answer.body) // 2])
    except ConnectionError:
        return _gone()
    if request.transport is not None:
        request.transport.close()
    return response
