"""The sandbox's door: an aiohttp server with the API's paths, statuses, headers and bodies, and seeded faults.

Tenants are told apart by a path prefix, `/t/NAME`; without one it is the tenant `sandbox`. Where the real API's
behaviour is not known (the bodies of a 409, `Retry-After` on a 429), its nearest relatives' is imitated, and said so.
This module must never import what it judges.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
import socket
import struct
import time
from collections.abc import Callable, Mapping
from random import Random
from types import TracebackType
from typing import Any, Final, Self
from urllib.parse import parse_qsl, unquote

import anyio
import orjson
from aiohttp import web

from bulkstreams.errors import UsageError
from bulkstreams.sandbox.rules import check_create, check_patch
from bulkstreams.sandbox.settings import READ_FAULTS, SandboxSettings
from bulkstreams.sandbox.state import TenantState

DEFAULT_TENANT: Final = "sandbox"
MAX_BODY: Final = 1_048_576
_API: Final = "/api/v2/event-streams"
_GATEWAY_STATUSES: Final = (500, 502, 503, 504, 524)
_REASONS: Final = {
    400: "Bad Request", 401: "Unauthorized", 403: "Forbidden", 404: "Not Found", 409: "Conflict",
    413: "Request Entity Too Large", 415: "Unsupported Media Type", 429: "Too Many Requests",
    500: "Internal Server Error", 502: "Bad Gateway", 503: "Service Unavailable", 504: "Gateway Timeout",
    524: "A Timeout Occurred",
}  # fmt: skip
_PAGE_OF_A_GATEWAY: Final = (
    "<!DOCTYPE html>\n<html><head><title>sandbox.local | 502: Bad gateway</title></head>\n"
    "<body><h1>Bad gateway</h1><p>The web server reported a bad gateway error.</p></body></html>\n"
)
_JSON: Final = "application/json; charset=utf-8"


class Refusal(Exception):  # noqa: N818 - an answer, not an error
    """An answer other than success, in the API's Boom shape."""

    def __init__(self, status: int, message: str, code: str | None = None, **more: Any) -> None:
        super().__init__(message)
        self.status = status
        self.body: dict[str, Any] = {"statusCode": status, "error": _REASONS[status], "message": message}
        if code is not None:
            self.body["errorCode"] = code
        self.body.update(more)


class Sandbox:
    """A local Auth0; an async context manager that serves while it is entered. `url` is its address."""

    def __init__(self, settings: SandboxSettings, clock: Callable[[], float] = time.time) -> None:
        self.settings = settings
        self.url = ""
        self._clock = clock
        self._tenants: dict[str, TenantState] = {}
        self._random = Random(settings.seed)  # noqa: S311 - faults, repeatable by design
        self._accepted: list[tuple[str, int]] = []
        self._tokens: dict[str, float] = {}
        self._assertions: set[str] = set()
        self._over = asyncio.Event()
        self._runner: web.ServerRunner | None = None

    async def __aenter__(self) -> Self:
        server = web.Server(self._serve, access_log=None)
        self._runner = web.ServerRunner(server)
        await self._runner.setup()
        site = web.TCPSite(self._runner, self.settings.host, self.settings.port, shutdown_timeout=1.0)
        try:
            await site.start()
        except OSError as error:
            await self._runner.cleanup()
            raise UsageError(
                f"the sandbox cannot listen on {self.settings.host}:{self.settings.port}: {error.strerror}.",
                hint="Choose another --port, or 0 for any that is free.",
            ) from None
        host, port = self._runner.addresses[0][:2]
        self.url = f"http://{host}:{port}"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        self._over.set()
        if self._runner is not None:
            with anyio.CancelScope(shield=True):
                await self._runner.cleanup()

    def tenant(self, name: str) -> TenantState:
        """Return a tenant, made when it is first asked for."""
        if name not in self._tenants:
            self._tenants[name] = TenantState(name, self.settings)
        return self._tenants[name]

    def books(self, only: str | None = None) -> dict[str, Any]:
        """Return what really happened: totals by tenant, and every accepted create in the order of its acceptance."""
        return {
            "tenants": {name: t.summary() for name, t in self._tenants.items() if only in {None, name}},
            "accepted": [
                {"seq": seq, "tenant": name, "id": id_, "name": stream, "at": at}
                for seq, (name, index) in enumerate(self._accepted, 1)
                if only in {None, name}
                for id_, stream, at in (self._tenants[name].books.accepted[index],)
            ],
        }

    # -- a request ----------------------------------------------------------------------------------------------------

    async def _serve(self, request: web.BaseRequest) -> web.StreamResponse:
        path = request.path
        name: str | None = None
        if path.startswith("/t/"):
            name, _, path = path[3:].partition("/")
            name, path = unquote(name), f"/{path}"
        if path == "/_sandbox/books":
            return web.Response(body=orjson.dumps(self.books(name)), content_type="application/json")
        tenant = self.tenant(name or DEFAULT_TENANT)
        kind = "create" if request.method == "POST" and path == _API else request.method.lower()
        tenant.books.requests["token" if path == "/oauth/token" else kind] += 1
        if self.settings.latency[1] > 0:
            await asyncio.sleep(self._random.uniform(*self.settings.latency))
        try:
            response = await self._answer(request, tenant, path, kind)
        except Refusal as refusal:
            response = self._reply(tenant, refusal.status, refusal.body)
        tenant.books.statuses[str(response.status)] += 1
        return response

    async def _answer(self, request: web.BaseRequest, tenant: TenantState, path: str, kind: str) -> web.StreamResponse:
        if path == "/oauth/token" and request.method == "POST":
            return await self._token(request, tenant)
        if not path.startswith(_API):
            raise Refusal(404, "Not Found")
        body = await request.content.read(MAX_BODY + 1)
        while len(body) <= MAX_BODY and not request.content.at_eof():
            body += await request.content.read(MAX_BODY + 1 - len(body))
        self._authorize(request, tenant)
        if tenant.bucket is not None and not tenant.bucket.take(self._clock()):
            raise Refusal(429, "Global limit has been reached", "too_many_requests")
        fault = self._draw_fault(create=kind == "create", read=request.method == "GET")
        if fault is not None:
            tenant.books.faults[fault] += 1
            return await self._fail(request, tenant, fault, body)
        return self._act(request, tenant, path.removeprefix(_API), body)

    def _act(self, request: web.BaseRequest, tenant: TenantState, rest: str, body: bytes) -> web.Response:
        """Do what was asked, undisturbed."""
        id_ = rest.removeprefix("/")
        method = request.method
        if not id_ and method == "POST":
            return self._reply(tenant, 201, self._create(request, tenant, body))
        if not id_ and method == "GET":
            return self._reply(tenant, 200, self._list(request, tenant))
        if not id_ or "/" in id_ or method not in {"GET", "PATCH", "DELETE"}:
            raise Refusal(404, "Not Found")
        if len(id_) != 26 or not id_.startswith("est_"):
            message = f"'Object didn't pass validation for format event-stream-id: {id_}' on property id"
            text = f"Path validation error: {message} (Unique identifier for the event stream)."
            raise Refusal(400, text, "invalid_uri")
        if method == "DELETE":
            tenant.delete(id_)
            return web.Response(status=204, headers=self._headers(tenant))
        stream = tenant.streams.get(id_)
        if stream is None:
            raise Refusal(404, "The requested stream does not exist.")
        if method == "PATCH":
            found = _decode(request, body)
            message_ = check_patch(found, stream["destination"]["type"])
            if message_ is not None:
                raise Refusal(400, message_, "invalid_body")
            stream = tenant.patch(stream, found, self._clock())
        return self._reply(tenant, 200, stream)

    def _create(self, request: web.BaseRequest, tenant: TenantState, body: bytes) -> dict[str, Any]:
        if len(body) > MAX_BODY:
            raise Refusal(413, f"Payload content length greater than maximum allowed: {MAX_BODY}")
        found = _decode(request, body)
        message = check_create(found)
        if message is not None:
            raise Refusal(400, message, "invalid_body")
        # The published text for both; their bodies are not: this is the shape of the siblings' 409.
        if tenant.taken(found.get("name")):
            raise Refusal(409, "Event stream name already in use.")
        if tenant.full:
            raise Refusal(409, "You have reached the maximum number of event streams for your account.")
        stream = tenant.create(found, self._clock())
        self._accepted.append((tenant.name, len(tenant.books.accepted) - 1))
        return stream

    def _list(self, request: web.BaseRequest, tenant: TenantState) -> dict[str, Any]:
        query = request.query
        take, cursor = query.get("take", "50"), query.get("from")
        if not take.isdecimal() or not 1 <= int(take) <= 100:
            text = f"Query validation error: 'Value {take} is not between 1 and 100' on property take."
            raise Refusal(400, text, "invalid_query_string")
        try:
            start = 0 if cursor is None else int(base64.urlsafe_b64decode(cursor.encode()))
        except (ValueError, binascii.Error):
            text = "Query validation error: 'Invalid cursor' on property from."
            raise Refusal(400, text, "invalid_query_string") from None
        streams, after = tenant.page(start, int(take))
        page: dict[str, Any] = {"eventStreams": streams}
        if after is not None:
            page["next"] = base64.urlsafe_b64encode(str(after).encode()).decode()
        return page

    # -- answers ------------------------------------------------------------------------------------------------------

    def _headers(self, tenant: TenantState) -> dict[str, str]:
        return {} if tenant.bucket is None else tenant.bucket.headers(self._clock())

    def _reply(self, tenant: TenantState, status: int, body: Mapping[str, Any]) -> web.Response:
        headers = {**self._headers(tenant), "Content-Type": _JSON}
        if status == 429:
            headers["x-ratelimit-remaining"] = "0"
            if self.settings.retry_after:
                headers["Retry-After"] = "1"
        return web.Response(status=status, body=orjson.dumps(body), headers=headers)

    def _draw_fault(self, *, create: bool, read: bool) -> str | None:
        for name, chance in self.settings.faults.items():
            if (create or (read and name in READ_FAULTS)) and self._random.random() < chance:
                return name
        return None

    async def _fail(self, request: web.BaseRequest, tenant: TenantState, fault: str, body: bytes) -> web.StreamResponse:
        """Answer as a failing server would; the faults named `after`, `hang` and `truncate` let the create happen."""
        if fault == "throttle":
            raise Refusal(429, "Global limit has been reached", "too_many_requests")
        if fault == "html-502":
            return web.Response(status=502, text=_PAGE_OF_A_GATEWAY, content_type="text/html")
        if fault == "error-before":
            raise Refusal(self._random.choice(_GATEWAY_STATUSES), "An internal server error occurred.")
        if fault != "reset-before":
            stream = self._create(request, tenant, body)
            if fault == "error-after":
                raise Refusal(self._random.choice(_GATEWAY_STATUSES), "An internal server error occurred.")
            if fault == "hang-after":
                await self._hang(request)
            elif fault == "truncate":
                return await self._truncate(request, stream)
        _reset(request)
        return web.Response(status=500)

    async def _hang(self, request: web.BaseRequest) -> None:
        """Say nothing until the client gives up, or the sandbox ends."""
        while request.transport is not None and not request.transport.is_closing() and not self._over.is_set():
            with anyio.move_on_after(0.2):
                await self._over.wait()

    async def _truncate(self, request: web.BaseRequest, stream: Mapping[str, Any]) -> web.StreamResponse:
        body = orjson.dumps(stream)
        response = web.StreamResponse(status=201, headers={"Content-Type": _JSON, "Content-Length": str(len(body))})
        await response.prepare(request)
        await response.write(body[: len(body) // 2])
        response.force_close()
        if request.transport is not None:
            request.transport.close()
        return response

    # -- tokens -------------------------------------------------------------------------------------------------------

    def _authorize(self, request: web.BaseRequest, tenant: TenantState) -> None:
        header = request.headers.get("Authorization")
        if header is None:
            raise Refusal(401, "Missing authentication")
        scheme, _, token = header.partition(" ")
        if scheme.lower() != "bearer" or not token.strip():
            raise Refusal(400, "Bad HTTP authentication header format", "Bearer")
        expires = self._tokens.get(token)
        if expires is None and self.settings.strict_tokens:
            raise Refusal(401, "Invalid token", attributes={"error": "Invalid token"})
        if expires is not None and expires <= self._clock():
            text = "Expired token received for JSON Web Token validation"
            raise Refusal(401, text, attributes={"error": text})

    async def _token(self, request: web.BaseRequest, tenant: TenantState) -> web.Response:
        body = await request.read()
        form = _decode_form(request, body)
        client = str(form.get("client_id", ""))
        if form.get("grant_type") != "client_credentials":
            return _oauth_error(403, "unauthorized_client", "Grant type not allowed for the client.")
        if "client_assertion" in form:
            wrong = self._wrong_assertion(str(form["client_assertion"]), client)
            if wrong is not None:
                return _oauth_error(401, "invalid_client", wrong)
        elif not form.get("client_secret"):
            return _oauth_error(401, "access_denied", "Unauthorized")
        if self.settings.clients is not None and (
            client not in self.settings.clients
            or ("client_secret" in form and self.settings.clients[client] != form["client_secret"])
        ):
            return _oauth_error(401, "access_denied", "Unauthorized")
        token = f"sandbox.{self._random.getrandbits(128):032x}"
        self._tokens[token] = self._clock() + self.settings.token_lifetime_s
        scope = "read:event_streams create:event_streams update:event_streams delete:event_streams"
        answer = {
            "access_token": token,
            "expires_in": self.settings.token_lifetime_s,
            "scope": scope,
            "token_type": "Bearer",
        }
        return web.json_response(answer)

    def _wrong_assertion(self, assertion: str, client: str) -> str | None:
        """Check an assertion's claims, and that it is used once; its signature is taken on trust, for want of a key."""
        try:
            part = assertion.split(".")[1]
            claims = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
            wrong = claims["iss"] != client or claims["sub"] != client or float(claims["exp"]) <= self._clock()
            jti = str(claims["jti"])
        except (IndexError, KeyError, TypeError, ValueError):
            return "Invalid client assertion"
        if wrong or jti in self._assertions:
            return "Invalid client assertion"
        self._assertions.add(jti)
        return None


def _decode(request: web.BaseRequest, body: bytes) -> Any:
    if request.content_type == "application/x-www-form-urlencoded":
        return dict(parse_qsl(body.decode("utf-8", "replace")))
    if request.content_type != "application/json":
        raise Refusal(415, "Unsupported Media Type")
    try:
        return orjson.loads(body)
    except ValueError:
        raise Refusal(400, "Invalid request payload JSON format") from None


def _decode_form(request: web.BaseRequest, body: bytes) -> dict[str, Any]:
    try:
        found = orjson.loads(body) if "json" in request.content_type else dict(parse_qsl(body.decode()))
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _oauth_error(status: int, error: str, description: str) -> web.Response:
    return web.json_response({"error": error, "error_description": description}, status=status)


def _reset(request: web.BaseRequest) -> None:
    """End the connection the hard way, with RST instead of FIN."""
    transport = request.transport
    if transport is not None:
        sock = transport.get_extra_info("socket")
        if sock is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        transport.abort()
