"""One request to a tenant's Management API → a reply, or a failure that says whether it may have been applied.

aiohttp's exceptions are translated here, once. This module must never retry, pace, follow a redirect, or send a token
to another host than its tenant's; and it must never put a request's body or headers into what it says of a failure.
"""

from __future__ import annotations

import asyncio
import os
import ssl
from collections.abc import Coroutine
from http.cookies import BaseCookie, SimpleCookie
from time import perf_counter
from typing import Any, Final, cast

import aiohttp
from aiohttp.abc import AbstractStreamWriter
from aiohttp.typedefs import LooseHeaders
from multidict import CIMultiDict
from yarl import URL

from bulkstreams.model import Failure, Reply

PAGE_SIZE: Final = 50
"""Streams asked for in a page of the list: what every plan allows (Private Cloud allows 100)."""

ACTIONS_PAGE_SIZE: Final = 20
"""Actions asked for in a page of theirs: each is shown with its code, twice where it is deployed."""

CONNECT_TIMEOUT_S: Final = 10.0
MAX_REPLY_BYTES: Final = 8 * 1024 * 1024
"""More than any page of the list can be; a longer reply is unusable, and is not read to its end."""

USER_AGENT: Final = "bulkstreams"

NOT_SENT: Final = (
    aiohttp.ClientConnectorError,  # name resolution, refused connection, TLS handshake, certificate, proxy
    aiohttp.ClientSSLError,
    aiohttp.ServerFingerprintMismatch,
    aiohttp.ConnectionTimeoutError,  # no connection within the time for one
    aiohttp.InvalidURL,
)
"""Failures that aiohttp raises before a connection exists, so before any byte of the request can be written."""


_OF_BODY: Final = CIMultiDict({"Content-Type": "application/json"})


class _Body(aiohttp.Payload):
    """JSON that is ready to be sent; the payload that aiohttp makes of bytes has headers made anew for each request."""

    def __init__(self, data: bytes) -> None:  # aiohttp's own is left out: it makes what is made once above
        self._data = data

    @property
    def size(self) -> int:
        return len(self._data)

    @property
    def headers(self) -> CIMultiDict[str]:
        return _OF_BODY

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        return self._data.decode(encoding, errors)

    async def write(self, writer: AbstractStreamWriter) -> None:
        await writer.write(self._data)

    async def write_with_length(self, writer: AbstractStreamWriter, content_length: int | None) -> None:
        await writer.write(self._data)


class _Request(aiohttp.ClientRequest):
    """A request whose headers are those of its session: copied at once, where aiohttp adds them one by one.

    Should aiohttp come to call another method for this, the same headers go out, only at the old cost.
    """

    def update_headers(self, headers: LooseHeaders | None) -> None:
        self.headers = CIMultiDict({"Host": self.url.host_port_subcomponent or ""})
        self.headers.extend(headers or {})


_NONE: Final[BaseCookie[str]] = SimpleCookie()


class _NoCookies(aiohttp.DummyCookieJar):
    """Keeps none and sends none; the jar that it extends makes an empty set of cookies anew for each request."""

    def filter_cookies(self, request_url: URL) -> BaseCookie[str]:
        return _NONE


def new_session(concurrency: int) -> aiohttp.ClientSession:
    """Make the session of one tenant, so of one host: a pool of `concurrency` connections, TLS verified, no cookies.

    It takes no proxy or netrc from the environment, and reads replies no further than `MAX_REPLY_BYTES`.
    """
    return _session(aiohttp.TCPConnector(limit=concurrency, ttl_dns_cache=60))


def token_session() -> aiohttp.ClientSession:
    """Make the session for the token requests of all tenants: it holds no token, and keeps no connection open.

    It has no limit of its own, since one tenant's hanging requests would use it up: whoever asks sees to that.
    """
    return _session(aiohttp.TCPConnector(limit=0, force_close=True))


def _session(connector: aiohttp.TCPConnector) -> aiohttp.ClientSession:
    session = aiohttp.ClientSession(
        connector=connector,
        cookie_jar=_NoCookies(),
        headers={
            "User-Agent": USER_AGENT,
            "Accept": "application/json",
            "Accept-Encoding": "gzip, deflate",
            "Content-Type": "application/json",
        },
        request_class=_Request,
        raise_for_status=False,
    )
    # Where a connection dies, aiohttp would send a GET or a DELETE once more by itself: past the limiter, and a DELETE
    # while nobody knows what became of the first. It has no public way to be told not to.
    session._retry_connection = False
    return session


class Watch:
    """Ends requests that take too long: one timer for all of a client's, where aiohttp would set one for each.

    A request is ended up to a twentieth of its time late, half a second at most; setting and clearing a timer for each
    costs a tenth of a whole request.
    """

    def __init__(self, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._tick_s = min(0.5, timeout_s / 20)
        self._deadlines: dict[asyncio.Task[object], float] = {}
        self._expired: set[asyncio.Task[object]] = set()
        self._timer: asyncio.TimerHandle | None = None

    def begin(self, task: asyncio.Task[object], now: float) -> None:
        """Watch over the request that `task` makes from `now` on (`perf_counter` seconds)."""
        self._deadlines[task] = now + self._timeout_s
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(self._tick_s, self._look)

    def end(self, task: asyncio.Task[object]) -> bool:
        """Watch no longer; return whether the request's time had run out."""
        self._deadlines.pop(task, None)
        if not self._expired or task not in self._expired:
            return False
        self._expired.discard(task)
        return True

    def _look(self) -> None:
        now = perf_counter()
        for task, deadline in self._deadlines.items():
            if deadline <= now and task not in self._expired:
                self._expired.add(task)
                task.cancel()
        again = asyncio.get_running_loop().call_later(self._tick_s, self._look) if self._deadlines else None
        self._timer = again


class Client:
    """The Management API of one tenant at `base_url` (`scheme://host[:port][/prefix]`), through `session`.

    The session is the client's own: the token is one of the headers that it sends with every request.
    """

    def __init__(self, session: aiohttp.ClientSession, base_url: str, timeout_s: float) -> None:
        self._session = session
        self._streams = URL(f"{base_url}/api/v2/event-streams")
        self._actions = URL(f"{base_url}/api/v2/actions/actions")
        # Well before the attempt's own time, so that a connection that never came is known for what it is: not sent.
        self._connect_s = min(CONNECT_TIMEOUT_S, 0.8 * timeout_s)
        self._timeout = aiohttp.ClientTimeout(total=None, connect=self._connect_s, ceil_threshold=60.0)
        self._timeout_s = timeout_s
        self._watch = Watch(timeout_s)
        self._token = ""

    def create(self, body: bytes, token: str) -> Coroutine[Any, Any, Reply | Failure]:
        """POST one event stream; `body` is its JSON."""
        return self._send("POST", self._streams, token, _Body(body))

    async def page(self, cursor: str | None, token: str) -> Reply | Failure:
        """GET one page of the tenant's streams, from `cursor` (the `next` of the page before) on."""
        query = {"take": str(PAGE_SIZE)} if cursor is None else {"take": str(PAGE_SIZE), "from": cursor}
        return await self._send("GET", self._streams.with_query(query), token, None)

    async def actions(self, page: int, token: str) -> Reply | Failure:
        """GET one page of the tenant's actions, the first of which is 0; all of them: a filter could hide one."""
        query = {"page": str(page), "per_page": str(ACTIONS_PAGE_SIZE)}
        return await self._send("GET", self._actions.with_query(query), token, None)

    # -- what is done to a stream after its creation -------------------------------------------------------------------

    async def stream(self, stream_id: str, token: str) -> Reply | Failure:
        """GET one stream."""
        return await self._send("GET", self._streams / stream_id, token, None)

    async def delete(self, stream_id: str, token: str) -> Reply | Failure:
        """DELETE one stream."""
        return await self._send("DELETE", self._streams / stream_id, token, None)

    async def change(self, stream_id: str, body: bytes, token: str) -> Reply | Failure:
        """PATCH one stream; `body` is JSON of what is to change."""
        return await self._send("PATCH", self._streams / stream_id, token, _Body(body))

    async def test(self, stream_id: str, body: bytes, token: str) -> Reply | Failure:
        """POST a test event for one stream; `body` is JSON that names its type."""
        return await self._send("POST", self._streams / stream_id / "test", token, _Body(body))

    async def deliveries(self, stream_id: str, event: str, since: str, token: str) -> Reply | Failure:
        """GET a stream's deliveries of one type of event since an instant (RFC 3339, whole seconds)."""
        url = self._streams / stream_id / "deliveries"
        query = {"event_types": event, "date_from": since, "take": str(PAGE_SIZE)}
        return await self._send("GET", url.with_query(query), token, None)

    async def delivery(self, stream_id: str, event_id: str, token: str) -> Reply | Failure:
        """GET one delivery."""
        return await self._send("GET", self._streams / stream_id / "deliveries" / event_id, token, None)

    async def _send(self, method: str, url: URL, token: str, body: _Body | None) -> Reply | Failure:
        if token != self._token:
            self._token = token
            self._session.headers["Authorization"] = f"Bearer {token}"
        began = perf_counter()
        response: aiohttp.ClientResponse | None = None
        task = cast("asyncio.Task[object]", asyncio.current_task())
        self._watch.begin(task, began)
        try:
            response = await self._session.request(method, url, data=body, allow_redirects=False, timeout=self._timeout)
            content = response.content
            # A short answer is there with its headers, as a rule: then there is nothing to wait for.
            data = content.read_nowait() if content.is_eof() else await _read(response)
        except asyncio.CancelledError:
            if not self._watch.end(task):
                raise
            task.uncancel()
            if response is not None:
                response.close()
            return Failure(f"no answer within {self._timeout_s:g} s", True, perf_counter() - began)
        except NOT_SENT as error:
            return Failure(self._describe(error), False, perf_counter() - began)
        except (TimeoutError, aiohttp.ClientError, OSError, ValueError) as error:
            if response is not None:
                response.close()
            return Failure(self._describe(error), True, perf_counter() - began)
        finally:
            late = self._watch.end(task)
        if late:
            # It came at the very moment that its time ran out: take back the cancellation that is on its way.
            task.uncancel()
        return Reply(response.status, response.headers, data, perf_counter() - began)

    def _describe(self, error: BaseException) -> str:
        """Say in a few words what went wrong: our own words where the cause is known, never a request's content."""
        host = self._streams.host
        if isinstance(error, aiohttp.ConnectionTimeoutError):
            return f"no connection to {host} within {self._connect_s:g} s"
        if isinstance(error, asyncio.TimeoutError):
            return f"no answer within {self._timeout_s:g} s"
        if isinstance(error, aiohttp.ClientConnectorCertificateError):
            return f"the certificate of {host} cannot be trusted"
        if isinstance(error, aiohttp.ClientConnectorSSLError | aiohttp.ClientSSLError | ssl.SSLError):
            return f"no TLS connection to {host}"
        if isinstance(error, aiohttp.ClientConnectorDNSError):
            return f"the name {host} cannot be resolved"
        if isinstance(error, aiohttp.ClientConnectorError):
            cause = os.strerror(error.errno) if error.errno else "refused"
            return f"no connection to {host}:{self._streams.port} ({cause})"
        if isinstance(error, aiohttp.ServerDisconnectedError | aiohttp.ClientOSError | ConnectionError):
            return "the connection was lost before an answer came"
        if isinstance(error, aiohttp.ClientPayloadError):
            return "the answer broke off"
        return f"no usable answer ({type(error).__name__})"


async def _read(response: aiohttp.ClientResponse) -> bytes:
    """Read an answer to its end, or give it up where it has none in sight."""
    if (response.content_length or 0) > MAX_REPLY_BYTES:
        raise aiohttp.ClientPayloadError
    chunks: list[bytes] = []
    size = 0
    async for chunk in response.content.iter_any():
        chunks.append(chunk)
        size += len(chunk)
        if size > MAX_REPLY_BYTES:
            raise aiohttp.ClientPayloadError
    return b"".join(chunks)


class OnlyReads:
    """What of a client only reads. Whoever is given this has nothing to write with, whatever his defects."""

    def __init__(self, client: Client) -> None:
        self.page, self.stream, self.actions = client.page, client.stream, client.actions
