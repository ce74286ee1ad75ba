"""JSON in, values out: a line → a record or its readable errors; a reply → a stream, a page, an error's words."""

from bulkstreams.schema.reading import MAX_KEY, RULES_VERSION, Rules, line_digest, prepare, read_line, secrets_in
from bulkstreams.schema.replies import (
    Page,
    created_id,
    is_absent,
    read_deliveries,
    read_delivery,
    read_error,
    read_page,
    read_shown,
    read_stream,
)

__all__ = [
    "MAX_KEY",
    "RULES_VERSION",
    "Page",
    "Rules",
    "created_id",
    "is_absent",
    "line_digest",
    "prepare",
    "read_deliveries",
    "read_delivery",
    "read_error",
    "read_line",
    "read_page",
    "read_shown",
    "read_stream",
    "secrets_in",
]
