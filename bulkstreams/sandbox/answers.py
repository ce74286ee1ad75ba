"""What the API says: one value per answer, and the bodies of its errors.

Bodies marked [guess] were never recorded from the real API: they follow the shape of recorded siblings.
This module must never decide which answer is due, and never be handed a secret.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from http import HTTPStatus
from typing import Any, Final, NamedTuple

import orjson

from bulkstreams.sandbox.validation import sentence

JSON: Final = "application/json; charset=utf-8"
MAX_BODY: Final = 1_048_576
"""The largest payload of any endpoint, in bytes."""


class Answer(NamedTuple):
    """A status, a body with its type (None: no body), and headers of its own."""

    status: int
    body: bytes = b""
    content_type: str | None = JSON
    headers: Mapping[str, str] = {}


def boom(status: int, message: str, code: str | None = None, *, attributes: Mapping[str, str] | None = None) -> Answer:
    """Return an error in the shape that every endpoint of the Management API shares."""
    body: dict[str, Any] = {"statusCode": status, "error": _REASONS.get(status) or HTTPStatus(status).phrase}
    body["message"] = message
    if attributes:
        body["attributes"] = attributes
    if code:
        body["errorCode"] = code
    return Answer(status, orjson.dumps(body))


_REASONS: Final = {413: "Request Entity Too Large", 500: "Internal Server Error"}  # the words that hapi uses

NO_CONTENT: Final = Answer(204, content_type=None)
UNKNOWN_PATH: Final = boom(404, "Not Found")
NO_SUCH_DELIVERY: Final = boom(404, "The requested delivery does not exist.")  # [guess]
NO_SUCH_STREAM: Final = boom(404, "The requested stream does not exist.")
TOO_MANY: Final = boom(429, "Global limit has been reached", "too_many_requests")
TOO_LARGE: Final = boom(413, f"Payload content length greater than maximum allowed: {MAX_BODY}.")
NOT_JSON: Final = boom(400, "Invalid request payload JSON format")  # [guess]
WRONG_TYPE: Final = boom(415, "Unsupported Media Type")  # [guess]
NAME_TAKEN: Final = boom(409, "Event stream name already in use.")  # [guess] half of the documented sentence
QUOTA_FULL: Final = boom(409, "You have reached the maximum number of event streams for your account.")  # [guess]
UNAUTHENTICATED: Final = boom(401, "Missing authentication")._replace(headers={"WWW-Authenticate": "Bearer"})  # [guess]
BAD_HEADER: Final = boom(400, "Bad HTTP authentication header format", "Bearer")
TYPE_IS_FIXED: Final = boom(400, "The destination type of a stream cannot be changed.", "invalid_body")  # [guess]
NO_SUCH_ACTION: Final = boom(400, "The action does not exist or is not deployed.", "invalid_body")  # [guess]
SWITCHED_OFF: Final = boom(400, "The event stream is disabled.", "operation_not_supported")  # [guess]
INTERNAL: Final = boom(500, "An internal server error occurred.")


def invalid_body(message: str) -> Answer:
    """Return the 400 of a body that breaks a rule."""
    return boom(400, message, "invalid_body")


def invalid_token(message: str) -> Answer:
    """Return the 401 of a token that is not, or no longer, good; the text stands in it twice, as recorded."""
    return boom(401, message, attributes={"error": message})


def insufficient_scope(scopes: Iterable[str]) -> Answer:
    """Return the 403 of a token that may not do this; how several scopes are set apart is a [guess]."""
    return boom(403, f"Insufficient scope, expected any of: {','.join(scopes)}", "insufficient_scope")


def bad_query(wrong: Iterable[str]) -> Answer:
    """Return the 400 of a query that breaks rules ([guess]: what stands before them)."""
    return boom(400, sentence("Query validation error", wrong), "invalid_query_string")


def bad_id(what: str, found: str) -> Answer:
    """Return the 400 of an id of another form; `what` is `event-stream` (recorded) or `event` ([guess])."""
    name = {"event-stream": "id (Unique identifier for the event stream)"}.get(what, "event_id")
    wrong = f"'Object didn't pass validation for format {what}-id: {found}' on property {name}"
    return boom(400, sentence("Path validation error", [wrong]), "invalid_uri")


def destination_is_fixed(kind: str) -> Answer:
    """Return the 400 of a PATCH that carries the destination of a kind that takes none ([guess])."""
    return boom(400, f"The destination of a stream of type {kind} cannot be updated.", "operation_not_supported")


def oauth_error(status: int, error: str, description: str) -> Answer:
    """Return an error in the shape of the token endpoint."""
    return Answer(status, orjson.dumps({"error": error, "error_description": description}))


def broken(status: int) -> Answer:
    """Return the answer of a failing server (500) or of the gateway before it (any other).

    A gateway answers in plain text, so a client must survive a body that is no JSON.
    """
    return INTERNAL if status == 500 else Answer(status, b"error code: %d" % status, "text/plain; charset=UTF-8")


def html_502(host: str) -> Answer:
    """Return a proxy's error page."""
    return Answer(502, _PAGE.replace(b"HOST", host.encode("ascii", "replace")), "text/html; charset=UTF-8")


_PAGE: Final = b"""<!DOCTYPE html>
<html lang="en-US">
<head><title>HOST | 502: Bad gateway</title><meta charset="UTF-8" /><meta name="robots" content="noindex" /></head>
<body>
<h1>Bad gateway <span>Error code 502</span></h1>
<p>The web server reported a bad gateway error. Please try again in a few minutes.</p>
</body>
</html>
"""

DENIED: Final = oauth_error(401, "access_denied", "Unauthorized")
CLIENT_QUOTA: Final = oauth_error(429, "too_many_requests", "Client quota exceeded")
