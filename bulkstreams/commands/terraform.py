"""`results --format terraform`: import blocks for every stream of a ledger that stands at its tenant.

Labels are given in the ledger's order over all of them, whatever is asked for, so that a filter changes none. This
module must never write a resource: what a stream is like, Terraform reads from the tenant itself.
"""

from __future__ import annotations

import shlex
from collections.abc import Collection, Iterator
from typing import Final

from bulkstreams.core.hcl import Labels, comment, quote
from bulkstreams.core.naming import words
from bulkstreams.ledger import LedgerReader, Result
from bulkstreams.model import State

RESOURCE: Final = "auth0_event_stream"
"""The resource of the provider auth0/auth0; it is imported by the stream's id."""


def as_terraform(reader: LedgerReader, states: Collection[State], tenant: str | None) -> Iterator[str]:
    """Yield a file of import blocks: of streams whose records are in `states` (all where none), at one tenant or all.

    Where the ledger holds several tenants and none is chosen, labels begin with the tenant's, and each block names
    the provider by an alias that is called after its tenant.
    """
    aliases = {} if tenant is not None else _aliases(sorted(reader.addresses()))
    yield from _head(reader, tenant, aliases)
    labels, seen = Labels(), set[tuple[str | None, str | None]]()
    for one in reader.standing():
        if tenant is not None and one.tenant != tenant:
            continue
        alias = aliases.get(one.tenant or "")
        label = labels.label(f"{alias or ''} {_called(one)}", "stream")
        if states and one.state not in states:
            continue
        if (one.tenant, one.remote_id) in seen:
            yield f"\n# {_about(one)}: the stream of a block above; it is imported once\n"
        else:
            seen.add((one.tenant, one.remote_id))
            yield _block(one, label, alias)
    if not seen:
        yield "\n# None of these records has a stream at its tenant.\n"


def _aliases(tenants: list[str]) -> dict[str, str]:
    """Return the alias of each tenant's provider; a single tenant needs none."""
    labels = Labels()
    return {one: labels.label(one, "tenant") for one in tenants} if len(tenants) > 1 else {}


def _called(one: Result) -> str:
    """Return what a block is called after: the name, or the id where that is all, or all that Latin script has."""
    return one.name if one.name and words(one.name) else one.remote_id or ""


def _block(one: Result, label: str, alias: str | None) -> str:
    lines = [("provider", f"auth0.{alias}")] if alias else []
    lines += [("to", f"{RESOURCE}.{label}"), ("id", quote(one.remote_id or ""))]
    width = max(len(name) for name, _ in lines)
    body = "".join(f"  {name:{width}} = {value}\n" for name, value in lines)
    return f"\n# {_about(one)}\nimport {{\n{body}}}\n"


def _about(one: Result) -> str:
    name = one.name if one.name is not None else f"(no name; key {one.key})"
    at = f" at {one.tenant}" if one.tenant else ""
    return comment(f"{name}: {one.state}{at}, {one.file}:{one.line}")


def _head(reader: LedgerReader, tenant: str | None, aliases: dict[str, str]) -> Iterator[str]:
    path = str(reader.path)
    yield (
        f"# Import blocks for the event streams in {comment(path)}"
        f"{'' if tenant is None else comment(f' at {tenant}')}: Terraform 1.5 or newer, provider auth0/auth0.\n"
        "#\n"
        "# Put this file beside the provider's configuration, and let Terraform write the resources:\n"
        "#\n"
        "#     terraform plan -generate-config-out=event_streams.tf\n"
        "#\n"
        "# The API returns no secret: fill in each password, token and header_value of a webhook (better, take them\n"
        "# from sensitive variables) before `terraform apply`.\n"
    )
    if aliases:
        yield "#\n# Several tenants: declare a provider with the alias of each, or write a file for each:\n#\n"
    for name, alias in aliases.items():
        command = shlex.join(["bulkstreams", "results", path, "--format", "terraform", "--tenant", name])
        yield comment(f"#     {alias}: {command}") + "\n"
