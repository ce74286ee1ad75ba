"""What the API accepts, in the real one's words: z-schema's in a Boom body.

Written apart from `schema`, which it judges. Secrets are looked at here, and forgotten.
"""

from __future__ import annotations

import re
from typing import Any, Final

SUBJECTS: Final = {
    "connection": ("created", "deleted", "updated"),
    "group": ("created", "deleted", "updated"),
    "group.member": ("added", "deleted"),
    "group.role": ("assigned", "deleted"),
    "organization": ("created", "deleted", "updated"),
    "organization.connection": ("added", "removed", "updated"),
    "organization.group.role": ("assigned", "deleted"),
    "organization.member": ("added", "deleted"),
    "organization.member.role": ("assigned", "deleted"),
    "user": ("created", "deleted", "updated"),
}
CATALOGUE: Final = frozenset(f"{subject}.{verb}" for subject, verbs in SUBJECTS.items() for verb in verbs)
_REGION: Final = re.compile(
    r"(af|ap|ca|eu|il|me|mx|sa|us|us-gov)-(north|south|east|west|central|northeast|southeast)-\d"
)
_SECRET: Final = {"basic": "password", "bearer": "token", "custom_header": "header_value"}
_SHOWN: Final = {"basic": ("method", "username"), "bearer": ("method",), "custom_header": ("method", "header_key")}
_HEADER_KEY: Final = r"^[a-zA-Z0-9!#$%&'*+.^_`|~-]+$"


class Findings:
    """Collects what is wrong, in the API's words."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def add(self, text: str, path: str) -> None:
        """Note one finding at a path."""
        self.texts.append(f"'{text}'{f' on property {path}' if path else ''}")

    def keys(self, found: dict[str, Any], path: str, required: tuple[str, ...], allowed: tuple[str, ...]) -> None:
        """Note properties that are missing or too many."""
        for key in required:
            if key not in found:
                self.add(f"Missing required property: {key}", path)
        for key in found:
            if key not in allowed:
                self.add(f"Additional properties not allowed: {key}", path)

    def text(self, found: object, path: str, least: int = 0, most: int | None = None, pattern: str = "") -> None:
        """Note a string that is none, or too short, too long, or of the wrong form."""
        if not isinstance(found, str):
            self.add(f"Expected type string but found type {_kind(found)}", path)
        elif len(found) < least:
            self.add(f"String is too short ({len(found)} chars), minimum {least}", path)
        elif most is not None and len(found) > most:
            self.add(f"String is too long ({len(found)} chars), maximum {most}", path)
        elif pattern and not re.match(pattern, found):
            self.add(f"String does not match pattern {pattern}: {found}", path)


def check_create(found: object) -> str | None:
    """Return the message of the 400 that a create's body deserves, or None where it deserves none."""
    notes = Findings()
    if not isinstance(found, dict):
        return f"Payload validation error: 'Expected type object but found type {_kind(found)}'."
    notes.keys(found, "", ("destination",), ("name", "subscriptions", "destination", "status"))
    _common(notes, found, least_subscriptions=1)
    if "destination" in found:
        _destination(notes, found["destination"])
    return _message(notes)


def check_patch(found: object, kind: str) -> str | None:
    """Return the message of the 400 that a PATCH of a stream to a destination of `kind` deserves, or None."""
    notes = Findings()
    if not isinstance(found, dict):
        return f"Payload validation error: 'Expected type object but found type {_kind(found)}'."
    notes.keys(found, "", (), ("name", "subscriptions", "destination", "status"))
    _common(notes, found, least_subscriptions=0)
    if "destination" in found:
        destination = found["destination"]
        _destination(notes, destination)
        if not notes.texts and destination["type"] != kind:
            return "The type of a destination cannot be changed"
        if not notes.texts and kind != "webhook":
            return f"The destination of an event stream of type {kind} cannot be updated"
    return _message(notes)


def _message(notes: Findings) -> str | None:
    return f"Payload validation error: {' (also) '.join(dict.fromkeys(notes.texts))}." if notes.texts else None


def _common(notes: Findings, found: dict[str, Any], *, least_subscriptions: int) -> None:
    if "name" in found:
        notes.text(found["name"], "name", 1, 128)
    if "status" in found and found["status"] not in ("enabled", "disabled"):
        notes.add(f"No enum match for: {found['status']}", "status")
    if "subscriptions" in found:
        _subscriptions(notes, found["subscriptions"], least_subscriptions)


def _subscriptions(notes: Findings, found: object, least: int) -> None:
    if not isinstance(found, list):
        notes.add(f"Expected type array but found type {_kind(found)}", "subscriptions")
        return
    if len(found) < least:
        notes.add(f"Array is too short ({len(found)}), minimum {least}", "subscriptions")
    for i, one in enumerate(found):
        path = f"subscriptions[{i}]"
        if not isinstance(one, dict):
            notes.add(f"Expected type object but found type {_kind(one)}", path)
            continue
        notes.keys(one, path, (), ("event_type",))
        event = one.get("event_type")
        if event not in CATALOGUE:
            notes.add(f"No enum match for: {event}", f"{path}.event_type")


def _destination(notes: Findings, found: object) -> None:
    if not isinstance(found, dict):
        notes.add(f"Expected type object but found type {_kind(found)}", "destination")
        return
    notes.keys(found, "destination", ("type", "configuration"), ("type", "configuration"))
    configuration = found.get("configuration")
    check = _CHECKS.get(str(found.get("type")))
    if check is None:
        notes.add("None of the valid schemas were met", "destination")
    elif isinstance(configuration, dict):
        check(notes, configuration)
    elif "configuration" in found:
        notes.add(f"Expected type object but found type {_kind(configuration)}", "destination.configuration")


def _webhook(notes: Findings, found: dict[str, Any]) -> None:
    path = "destination.configuration"
    both = ("webhook_endpoint", "webhook_authorization")
    notes.keys(found, path, both, both)
    if "webhook_endpoint" in found:
        notes.text(found["webhook_endpoint"], f"{path}.webhook_endpoint", pattern="^https://.*")
    path = f"{path}.webhook_authorization"
    authorization = found.get("webhook_authorization")
    if not isinstance(authorization, dict) or authorization.get("method") not in _SECRET:
        if "webhook_authorization" in found:
            notes.add("None of the valid schemas were met", path)
        return
    method = authorization["method"]
    secret = _SECRET[method]
    required = (*_SHOWN[method], secret)
    notes.keys(authorization, path, required, required)
    if not isinstance(authorization.get(secret, ""), str):
        notes.add(f"Expected type string but found type {_kind(authorization[secret])}", f"{path}.{secret}")
    if "username" in authorization:
        notes.text(authorization["username"], f"{path}.username", 0, 128, "^[^:]+$")
    if "header_key" in authorization:
        notes.text(authorization["header_key"], f"{path}.header_key", 1, None, _HEADER_KEY)


def _eventbridge(notes: Findings, found: dict[str, Any]) -> None:
    path = "destination.configuration"
    both = ("aws_account_id", "aws_region")
    notes.keys(found, path, both, both)
    if "aws_account_id" in found:
        notes.text(found["aws_account_id"], f"{path}.aws_account_id", pattern=r"^\d{12}$")
    if "aws_region" in found and not _REGION.fullmatch(str(found["aws_region"])):
        notes.add(f"No enum match for: {found['aws_region']}", f"{path}.aws_region")


def _action(notes: Findings, found: dict[str, Any]) -> None:
    notes.keys(found, "destination.configuration", ("action_id",), ("action_id",))
    if "action_id" in found:
        notes.text(found["action_id"], "destination.configuration.action_id")


_CHECKS: Final = {"webhook": _webhook, "eventbridge": _eventbridge, "action": _action}


def shown(destination: dict[str, Any], source: str) -> dict[str, Any]:
    """Return a destination as the API shows it: without secrets; `source` is EventBridge's partner event source."""
    configuration = dict(destination["configuration"])
    if destination["type"] == "webhook":
        authorization = configuration["webhook_authorization"]
        configuration["webhook_authorization"] = {key: authorization[key] for key in _SHOWN[authorization["method"]]}
    elif destination["type"] == "eventbridge":
        configuration["aws_partner_event_source"] = source
    return {"type": destination["type"], "configuration": configuration}


def _kind(found: object) -> str:
    names = {dict: "object", list: "array", str: "string", bool: "boolean", int: "integer", float: "number"}
    return names.get(type(found), "null")
