"""JSON in, values out: a line → a record or its readable errors; a reply → a stream, a page, an error's words."""

from bulkstreams.schema.definition import EVENT_TYPES
from bulkstreams.schema.preparing import (
    action_in,
    definition_in,
    line_digest,
    not_looked_up,
    prepare,
    secrets_in,
)
from bulkstreams.schema.problems import nearest, show
from bulkstreams.schema.reading import MAX_KEY, RULES_VERSION, Rules, read_line
from bulkstreams.schema.replies import (
    ActionPage,
    NamedAction,
    Page,
    created_id,
    is_absent,
    read_actions,
    read_deliveries,
    read_delivery,
    read_error,
    read_page,
    read_shown,
    read_stream,
)

__all__ = [
    "EVENT_TYPES",
    "MAX_KEY",
    "RULES_VERSION",
    "ActionPage",
    "NamedAction",
    "Page",
    "Rules",
    "action_in",
    "created_id",
    "definition_in",
    "is_absent",
    "line_digest",
    "nearest",
    "not_looked_up",
    "prepare",
    "read_actions",
    "read_deliveries",
    "read_delivery",
    "read_error",
    "read_line",
    "read_page",
    "read_shown",
    "read_stream",
    "secrets_in",
    "show",
]
