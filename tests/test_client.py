"""One request → a reply, or a failure that says whether it may have been applied."""

from __future__ import annotations

import asyncio
import socket
import ssl
import struct
from collections.abc import Awaitable, Callable

import aiohttp
import anyio
import anyio.lowlevel
import pytest

from bulkstreams.client import ACTIONS_PAGE_SIZE, MAX_REPLY_BYTES, PAGE_SIZE, Client, OnlyReads, new_session
from bulkstreams.model import Failure, Reply

TOKEN = "s3cret-token"
BODY = b'{"name":"audit","destination":{"token":"s3cret-body"}}'
CREATED = b'{"id":"est_1"}'
STREAM = "/t/acme/api/v2/event-streams/est_1"

Handler = Callable[["Wire"], Awaitable[None]]
Answer = Reply | Failure


class Wire:
    """A server's end of one connection: reads requests as bytes, and says or does whatever a test wants."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        self.requests: list[tuple[str, dict[str, str], bytes]] = []

    async def request(self) -> tuple[str, dict[str, str], bytes]:
        """Read one request: its first line, its headers, its body."""
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in head[1:] if line)}
        body = await self.reader.readexactly(int(headers.get("content-length", 0)))
        self.requests.append((head[0], headers, body))
        return self.requests[-1]

    async def say(self, data: bytes) -> None:
        """Send bytes as they are."""
        self.writer.write(data)
        await self.writer.drain()

    async def answer(self, status: str, body: bytes = b"", *headers: str) -> None:
        """Send a whole reply."""
        lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers]
        await self.say("\r\n".join([*lines, "", ""]).encode() + body)

    def reset(self) -> None:
        """Cut the connection off, so that the other end sees a reset."""
        link: socket.socket = self.writer.get_extra_info("socket")
        link.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()


class Place:
    """A server on loopback, and what came to it."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.wires: list[Wire] = []

    @property
    def requests(self) -> list[tuple[str, dict[str, str], bytes]]:
        """Return all requests, in the order of their connections."""
        return [request for wire in self.wires for request in wire.requests]


def on(
    handler: Handler, work: Callable[[Client], Awaitable[Answer]], *, scheme: str = "http", timeout_s: float = 30.0
) -> tuple[Answer, Place]:
    """Let `handler` serve each connection while `work` uses a client of that server; return its answer."""

    async def main() -> tuple[Answer, Place]:
        place = Place("")

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            wire = Wire(reader, writer)
            place.wires.append(wire)
            try:
                await handler(wire)
            except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
                pass
            finally:
                writer.close()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        async with server:
            place.url = f"{scheme}://127.0.0.1:{server.sockets[0].getsockname()[1]}"
            async with new_session(4) as session:
                answer = await work(Client(session, f"{place.url}/t/acme", timeout_s))
            server.close()
        return answer, place

    return asyncio.run(main())


async def create(client: Client) -> Answer:
    """Create one stream."""
    return await client.create(BODY, TOKEN)


def failure(answer: Answer, *, sent: bool) -> str:
    """Return the reason of a failure that is certain, or not, to have sent nothing: short and without a secret."""
    assert isinstance(answer, Failure)
    assert answer.sent is sent
    assert answer.elapsed_s >= 0.0
    assert 0 < len(answer.reason) <= 120
    assert "s3cret" not in repr(answer)
    assert "\n" not in answer.reason
    return answer.reason


# -- replies ----------------------------------------------------------------------------------------------------------


def test_a_create_is_one_post_with_the_body_as_given() -> None:
    """Path, token, type and bytes go out as they should, and the reply comes back whole."""

    async def handler(wire: Wire) -> None:
        await wire.request()
        await wire.answer("201 Created", CREATED, "X-RateLimit-Remaining: 7")

    answer, place = on(handler, create)
    assert isinstance(answer, Reply)
    assert (answer.status, answer.body, answer.headers["x-ratelimit-remaining"]) == (201, CREATED, "7")
    assert answer.elapsed_s > 0.0
    [(line, headers, body)] = place.requests
    assert line == "POST /t/acme/api/v2/event-streams HTTP/1.1"
    assert body == BODY
    assert headers["authorization"] == f"Bearer {TOKEN}"
    assert headers["content-type"] == "application/json"


def test_a_request_says_once_each_what_a_server_needs_to_know() -> None:
    """Neither a create nor a page's request goes out with a header twice, or with another than these; Host is first."""
    heads: list[list[str]] = []

    async def handler(wire: Wire) -> None:
        for _ in range(3):
            head = (await wire.reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
            heads.append([line for line in head[1:] if line])
            length = sum(int(line[15:]) for line in heads[-1] if line.lower().startswith("content-length:"))
            assert await wire.reader.readexactly(length) == (BODY if length else b"")
            await wire.answer("201 Created", CREATED)

    async def work(client: Client) -> Answer:
        await client.create(BODY, TOKEN)
        await client.page(None, TOKEN)
        return await client.create(BODY, "another-token")

    _, place = on(handler, work)
    ours = [
        f"Host: {place.url.removeprefix('http://')}",
        "Accept-Encoding: gzip, deflate",
        "Accept: application/json",
        f"Authorization: Bearer {TOKEN}",
        "Content-Type: application/json",
        "User-Agent: bulkstreams",
    ]
    first, page, second = heads
    assert first[0] == page[0] == ours[0]
    assert sorted(first) == sorted([*ours, f"Content-Length: {len(BODY)}"])
    assert sorted(page) == sorted(ours)
    assert sorted(second) == sorted(line.replace(TOKEN, "another-token") for line in first)


@pytest.mark.parametrize("status", [200, 204, 400, 401, 403, 404, 409, 413, 415, 422, 429, 500, 502, 503, 504, 524])
def test_whatever_status_the_server_answers_is_a_reply(status: int) -> None:
    """What an answer means is decided elsewhere: nothing is raised, retried or changed."""

    async def handler(wire: Wire) -> None:
        while True:
            await wire.request()
            await wire.answer(f"{status} Whatever", b"" if status == 204 else b"<html>", "Retry-After: 3")

    answer, place = on(handler, create)
    assert isinstance(answer, Reply)
    assert (answer.status, answer.headers["retry-after"]) == (status, "3")
    assert len(place.requests) == 1


def test_a_reply_shows_no_body_in_its_repr() -> None:
    """A server may echo what it was sent."""

    async def handler(wire: Wire) -> None:
        await wire.request()
        await wire.answer("400 Bad Request", BODY)

    answer, _ = on(handler, create)
    assert "s3cret" not in repr(answer)


def test_connections_are_used_again_and_a_new_token_replaces_the_old_one() -> None:
    """Ten requests one after the other share a connection; each carries the token it was given."""

    async def handler(wire: Wire) -> None:
        while True:
            await wire.request()
            await wire.answer("201 Created", CREATED)

    async def work(client: Client) -> Answer:
        for number in range(10):
            answer = await client.create(BODY, f"t{number // 5}")
        return answer

    _, place = on(handler, work)
    assert len(place.wires) == 1
    assert [headers["authorization"] for _, headers, _ in place.requests] == ["Bearer t0"] * 5 + ["Bearer t1"] * 5


@pytest.mark.parametrize(
    ("cursor", "query"), [(None, f"take={PAGE_SIZE}"), ("abc", f"take={PAGE_SIZE}&from=abc"), ("a b&c", None)]
)
def test_a_page_is_one_get_from_its_cursor(cursor: str | None, query: str | None) -> None:
    """The list is asked for in pages that every plan allows; an opaque cursor is quoted, not interpreted."""

    async def handler(wire: Wire) -> None:
        await wire.request()
        await wire.answer("200 OK", b"{}")

    async def work(client: Client) -> Answer:
        return await client.page(cursor, TOKEN)

    _, place = on(handler, work)
    [(line, headers, body)] = place.requests
    expected = query or f"take={PAGE_SIZE}&from=a+b%26c"
    assert line == f"GET /t/acme/api/v2/event-streams?{expected} HTTP/1.1"
    assert (headers["authorization"], body) == (f"Bearer {TOKEN}", b"")


def test_a_page_of_actions_is_one_get_of_all_of_them() -> None:
    """No filter is sent along: what it means to a server could hide an action that a line names."""

    async def handler(wire: Wire) -> None:
        await wire.request()
        await wire.answer("200 OK", b"{}")

    async def work(client: Client) -> Answer:
        return await client.actions(2, TOKEN)

    _, place = on(handler, work)
    [(line, headers, body)] = place.requests
    assert line == f"GET /t/acme/api/v2/actions/actions?page=2&per_page={ACTIONS_PAGE_SIZE} HTTP/1.1"
    assert (headers["authorization"], body) == (f"Bearer {TOKEN}", b"")


@pytest.mark.parametrize(
    ("ask", "line", "sent"),
    [
        (lambda one: one.stream("est_1", TOKEN), f"GET {STREAM}", b""),
        (lambda one: one.delete("est_1", TOKEN), f"DELETE {STREAM}", b""),
        (lambda one: one.change("est_1", BODY, TOKEN), f"PATCH {STREAM}", BODY),
        (lambda one: one.test("est_1", BODY, TOKEN), f"POST {STREAM}/test", BODY),
        (
            lambda one: one.deliveries("est_1", "user.created", "2026-01-01T00:00:00Z", TOKEN),
            f"GET {STREAM}/deliveries?event_types=user.created&date_from=2026-01-01T00:00:00Z&take={PAGE_SIZE}",
            b"",
        ),
        (
            lambda one: one.delivery("est_1", "evt_1", TOKEN),
            f"GET {STREAM}/deliveries/evt_1",
            b"",
        ),
        (lambda one: OnlyReads(one).stream("est_1", TOKEN), f"GET {STREAM}", b""),
    ],
)
def test_each_request_about_a_stream_has_its_path(
    ask: Callable[[Client], Awaitable[Answer]], line: str, sent: bytes
) -> None:
    """One request, with the body as given where there is one."""

    async def handler(wire: Wire) -> None:
        await wire.request()
        await wire.answer("200 OK", b"{}")

    async def work(client: Client) -> Answer:
        return await ask(client)

    answer, place = on(handler, work)
    assert isinstance(answer, Reply)
    [(first, _, body)] = place.requests
    assert (first, body) == (f"{line} HTTP/1.1", sent)


def test_who_only_reads_has_nothing_to_write_with() -> None:
    """Whatever defect asks for it."""
    assert not {"create", "delete", "change", "test"} & set(dir(OnlyReads(Client.__new__(Client))))


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_a_reply_and_the_token_goes_nowhere_else(status: int) -> None:
    """The address of a redirect is never called."""
    elsewhere: list[bytes] = []

    async def catch(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        elsewhere.append(await reader.read(1))
        writer.close()

    async def handler(wire: Wire) -> None:
        other = await asyncio.start_server(catch, "127.0.0.1", 0)
        async with other:
            await wire.request()
            port = other.sockets[0].getsockname()[1]
            await wire.answer(f"{status} Moved", b"", f"Location: http://127.0.0.1:{port}/")
            await wire.reader.read()

    answer, place = on(handler, create)
    assert isinstance(answer, Reply)
    assert answer.status == status
    assert elsewhere == []
    assert len(place.requests) == 1


def test_no_cookie_is_kept() -> None:
    """A cookie would tie requests to one server of many, or to a session that nobody asked for."""

    async def handler(wire: Wire) -> None:
        while True:
            await wire.request()
            await wire.answer("201 Created", CREATED, "Set-Cookie: a=b; Path=/")

    async def work(client: Client) -> Answer:
        await create(client)
        return await create(client)

    _, place = on(handler, work)
    assert "cookie" not in place.requests[1][1]


def test_a_proxy_of_the_environment_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """The token goes to its tenant's host, not to whoever a variable names."""
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")

    async def handler(wire: Wire) -> None:
        await wire.request()
        await wire.answer("201 Created", CREATED)

    answer, _ = on(handler, create)
    assert isinstance(answer, Reply)


# -- certain that nothing was sent ------------------------------------------------------------------------------------


def alone(url: str, timeout_s: float = 30.0) -> Answer:
    """Create one stream at an address where no server of ours is."""

    async def main() -> Answer:
        async with new_session(1) as session:
            return await create(Client(session, url, timeout_s))

    return asyncio.run(main())


def test_a_refused_connection_sent_nothing() -> None:
    """Nobody listens there: it is safe to try again."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        reason = failure(alone(f"http://127.0.0.1:{bound.getsockname()[1]}"), sent=False)
    assert reason.startswith("no connection to 127.0.0.1:")


def test_a_name_that_cannot_be_resolved_sent_nothing() -> None:
    """There is no address to send to."""
    assert failure(alone("https://tenant.invalid"), sent=False) == "the name tenant.invalid cannot be resolved"


def test_tls_to_a_port_that_speaks_none_sent_nothing() -> None:
    """The handshake comes before the request, so neither token nor body went out."""

    async def handler(wire: Wire) -> None:
        received = await wire.reader.read(65536)
        assert b"s3cret" not in received
        await wire.answer("400 Bad Request")

    answer, _ = on(handler, create, scheme="https")
    assert failure(answer, sent=False) == "no TLS connection to 127.0.0.1"


def test_a_connection_cut_in_the_tls_handshake_sent_nothing() -> None:
    """A load balancer that goes away while a connection is set up leaves no doubt."""

    async def handler(wire: Wire) -> None:
        await wire.reader.read(1)
        wire.reset()

    answer, _ = on(handler, create, scheme="https")
    failure(answer, sent=False)


def test_a_tls_handshake_that_hangs_sent_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """The time for a connection ends before one stands: still nothing was written."""
    monkeypatch.setattr("bulkstreams.client.CONNECT_TIMEOUT_S", 0.02)

    async def handler(wire: Wire) -> None:
        await wire.reader.read()

    answer, _ = on(handler, create, scheme="https")
    assert failure(answer, sent=False) == "no connection to 127.0.0.1 within 0.02 s"


class SilentResolver(aiohttp.abc.AbstractResolver):
    """A name server that never answers."""

    async def resolve(self, host: str, port: int = 0, family: int = 0) -> list[aiohttp.abc.ResolveResult]:
        """Wait for ever."""
        await asyncio.Event().wait()
        return []

    async def close(self) -> None:
        """Hold nothing."""


def test_a_name_server_that_is_silent_sent_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Looking up the address is part of connecting, and has its time."""
    monkeypatch.setattr("bulkstreams.client.CONNECT_TIMEOUT_S", 0.02)

    async def main() -> Answer:
        connector = aiohttp.TCPConnector(resolver=SilentResolver())
        async with aiohttp.ClientSession(connector=connector) as session:
            return await create(Client(session, "https://tenant.invalid", 0.2))

    failure(asyncio.run(main()), sent=False)


# -- in doubt ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["reset", "close"])
def test_a_connection_lost_before_an_answer_leaves_doubt(how: str) -> None:
    """The server had the request and may have acted on it; it is not sent a second time."""

    async def handler(wire: Wire) -> None:
        await wire.request()
        if how == "reset":
            wire.reset()

    answer, place = on(handler, create)
    failure(answer, sent=True)
    assert len(place.requests) == 1


@pytest.mark.parametrize("how", ["reset", "close"])
def test_a_look_up_whose_connection_dies_is_not_repeated_unseen(how: str) -> None:
    """Whether it is asked again is the lane's affair: a second GET of the library's own would pass the limiter by."""

    async def handler(wire: Wire) -> None:
        await wire.request()
        if how == "reset":
            wire.reset()

    answer, place = on(handler, lambda client: client.page(None, TOKEN))
    failure(answer, sent=True)
    assert len(place.requests) == 1


@pytest.mark.parametrize("how", ["reset", "close"])
def test_a_kept_connection_that_dies_under_a_create_leaves_doubt(how: str) -> None:
    """A pooled connection that the server gives up just then proves nothing, and there is no silent second POST."""

    async def handler(wire: Wire) -> None:
        await wire.request()
        await wire.answer("201 Created", CREATED)
        await wire.request()
        if how == "reset":
            wire.reset()

    async def work(client: Client) -> Answer:
        assert isinstance(await create(client), Reply)
        return await create(client)

    answer, place = on(handler, work)
    failure(answer, sent=True)
    assert len(place.requests) == 2


@pytest.mark.parametrize("how", ["reset", "close"])
@pytest.mark.parametrize("method", ["delete", "stream"])
def test_a_kept_connection_that_dies_is_told_and_nothing_is_sent_once_more(method: str, how: str) -> None:
    """A request that HTTP calls idempotent is repeated by nobody but us, so a lost delete is never called unsent."""

    async def handler(wire: Wire) -> None:
        await wire.request()
        await wire.answer("201 Created", CREATED)
        await wire.request()
        if how == "reset":
            wire.reset()

    async def work(client: Client) -> Answer:
        await create(client)
        answer: Answer = await getattr(client, method)("est_1", TOKEN)
        return answer

    answer, place = on(handler, work)
    assert failure(answer, sent=True) == "the connection was lost before an answer came"
    assert len(place.requests) == 2


def test_no_answer_in_time_leaves_doubt() -> None:
    """The server may still be at work on it."""

    async def handler(wire: Wire) -> None:
        await wire.request()
        await wire.reader.read()

    answer, _ = on(handler, create, timeout_s=0.05)
    assert "no answer within 0.05 s" in failure(answer, sent=True)


def test_an_answer_that_stalls_leaves_doubt() -> None:
    """The time for one attempt includes the whole answer."""

    async def handler(wire: Wire) -> None:
        await wire.request()
        await wire.say(b"HTTP/1.1 201 Created\r\nContent-Length: 100\r\n\r\n{")
        await wire.reader.read()

    answer, _ = on(handler, create, timeout_s=0.05)
    failure(answer, sent=True)


@pytest.mark.parametrize(
    "said",
    [
        b"HTTP/1.1 201 Created\r\nContent-Length: 100\r\n\r\n{",
        b"HTTP/1.1 201 Created\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{",
        b"HTTP/1.1 201 Created\r\nContent-Le",
    ],
    ids=["length", "chunked", "headers"],
)
def test_an_answer_that_breaks_off_leaves_doubt(said: bytes) -> None:
    """A 201 without its body names no stream."""

    async def handler(wire: Wire) -> None:
        await wire.request()
        await wire.say(said)

    answer, _ = on(handler, create)
    failure(answer, sent=True)


@pytest.mark.parametrize(
    "said",
    [
        b"s3cret-body is what you sent\r\n\r\n",
        b"HTTP/1.1 s3cret-body\r\n\r\n",
        b"HTTP/1.1 201 Created\r\ns3cret-body\r\n\r\n",
        b"HTTP/1.1 201 Created\r\nContent-Length: s3cret-body\r\n\r\n",
        b"HTTP/1.1 201 Created\r\nTransfer-Encoding: chunked\r\n\r\ns3cret-body\r\n",
        b"HTTP/1.1 201 Created\r\nContent-Encoding: gzip\r\nContent-Length: 11\r\n\r\ns3cret-body",
        b"\x15\x03\x01\x00\x02\x02\x16",
    ],
    ids=["prose", "status", "header", "length", "chunk", "gzip", "tls"],
)
def test_what_is_no_http_leaves_doubt_and_is_not_repeated(said: bytes) -> None:
    """A server that talks nonsense had the request all the same; its words may hold ours."""

    async def handler(wire: Wire) -> None:
        await wire.request()
        await wire.say(said)
        await wire.reader.read()

    answer, _ = on(handler, create)
    failure(answer, sent=True)


def test_an_answer_longer_than_any_is_not_read_to_its_end() -> None:
    """Memory is bounded whatever a server sends."""

    async def handler(wire: Wire) -> None:
        await wire.request()
        await wire.say(f"HTTP/1.1 200 OK\r\nContent-Length: {MAX_REPLY_BYTES + 1}\r\n\r\n".encode())
        await wire.reader.read()

    answer, _ = on(handler, create)
    failure(answer, sent=True)


def test_an_endless_chunked_answer_is_not_read_to_its_end() -> None:
    """The bound holds where no length was announced, too."""
    chunk = b"100000\r\n" + b" " * 0x100000 + b"\r\n"

    async def handler(wire: Wire) -> None:
        await wire.request()
        await wire.say(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        for _ in range(4 * MAX_REPLY_BYTES // 0x100000):
            await wire.say(chunk)
        await wire.say(b"0\r\n\r\n")

    answer, _ = on(handler, create)
    failure(answer, sent=True)


def test_after_a_failure_the_next_request_goes_over_a_new_connection() -> None:
    """What is left of a broken answer is never taken for the next one."""

    async def handler(wire: Wire) -> None:
        await wire.request()
        if len(place_of) == 0:
            place_of.append(wire)
            await wire.say(b"HTTP/1.1 201 Created\r\nContent-Length: 100\r\n\r\n{")
            await wire.reader.read()
        await wire.answer("201 Created", CREATED)

    place_of: list[Wire] = []

    async def work(client: Client) -> Answer:
        failure(await create(client), sent=True)
        return await create(client)

    answer, place = on(handler, work, timeout_s=0.4)
    assert isinstance(answer, Reply)
    assert answer.body == CREATED
    assert len(place.wires) == 2


def test_a_time_out_leaves_no_cancellation_behind() -> None:
    """A request that was given up disturbs nothing that its task does next."""
    seen: list[int] = []

    async def handler(wire: Wire) -> None:
        await wire.request()
        await wire.reader.read()

    async def work(client: Client) -> Answer:
        task = asyncio.current_task()
        assert task is not None
        with anyio.CancelScope() as scope:
            answer = await create(client)
            await anyio.lowlevel.checkpoint()
        seen.append(task.cancelling())
        assert not scope.cancelled_caught
        return answer

    answer, _ = on(handler, work, timeout_s=0.02)
    failure(answer, sent=True)
    assert seen == [0]


def test_a_request_that_is_cancelled_is_no_failure() -> None:
    """Whoever leaves at once leaves: a cancellation is not turned into an answer."""

    async def handler(wire: Wire) -> None:
        await wire.request()
        arrived.set()
        await wire.reader.read()

    async def work(client: Client) -> Answer:
        answers: list[Answer] = []

        async def send() -> None:
            answers.append(await create(client))

        async with anyio.create_task_group() as group:
            group.start_soon(send)
            await arrived.wait()
            group.cancel_scope.cancel()
        assert answers == []
        return Failure("left", False, 0.0)

    arrived = anyio.Event()
    on(handler, work)


def test_many_requests_time_out_each_by_its_own_clock() -> None:
    """One timer watches over all; a request that is answered is left alone."""

    async def handler(wire: Wire) -> None:
        if (await wire.request())[2] == b"quick":
            await wire.answer("201 Created", CREATED)
        await wire.reader.read()

    async def work(client: Client) -> Answer:
        answers: list[Answer] = []

        async def send(body: bytes) -> None:
            answers.append(await client.create(body, TOKEN))

        async with anyio.create_task_group() as group:
            for body in (b"slow", b"quick", b"slow", b"quick"):
                group.start_soon(send, body)
        assert [type(answer) for answer in answers] == [Reply, Reply, Failure, Failure]
        return answers[-1]

    answer, _ = on(handler, work, timeout_s=0.4)
    failure(answer, sent=True)


# -- the session ------------------------------------------------------------------------------------------------------


def test_no_more_connections_are_opened_than_requests_may_be_under_way() -> None:
    """The pool is as large as `concurrency`."""

    async def main() -> int:
        async with new_session(7) as session:
            assert isinstance(session.connector, aiohttp.TCPConnector)
            return session.connector.limit

    assert asyncio.run(main()) == 7


def test_an_untrusted_certificate_is_refused_before_anything_is_sent(tmp_path: object) -> None:
    """TLS is verified: a stranger's certificate gets neither token nor body."""
    certificate, key = self_signed()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    path = f"{tmp_path}/pair.pem"
    with open(path, "wb") as file:  # noqa: PTH123
        file.write(key + certificate)
    context.load_cert_chain(path)
    received: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        received.append(await reader.read())
        writer.close()

    async def main() -> Answer:
        server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
        async with server, new_session(1) as session:
            port = server.sockets[0].getsockname()[1]
            return await create(Client(session, f"https://127.0.0.1:{port}", 30.0))

    assert failure(asyncio.run(main()), sent=False) == "the certificate of 127.0.0.1 cannot be trusted"
    assert not any(received)


def self_signed() -> tuple[bytes, bytes]:
    """Return a certificate that nobody vouches for, and its key, in PEM form."""
    import datetime

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    begin = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(begin)
        .not_valid_after(begin + datetime.timedelta(days=36_500))
        .sign(key, hashes.SHA256())
    )
    return (
        certificate.public_bytes(Encoding.PEM),
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
    )
