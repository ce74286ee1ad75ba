"""The command `sandbox`: its flags, and a server until a signal comes. What they mean is the sandbox's own affair."""

from __future__ import annotations

from typing import Annotated, Final

import anyio
import typer

from bulkstreams.cli.loop import heeded, run_loop
from bulkstreams.cli.telling import print_text
from bulkstreams.sandbox import (
    FAULT_KINDS,
    FAULTS,
    Sandbox,
    SandboxSettings,
    parse_disabled_test,
    parse_fault,
    parse_latency,
    parse_refill,
    scopes_without,
)

_REFILLS: Final = "continuous|window|minute"


def sandbox(
    port: Annotated[int, typer.Option(min=0, max=65535, help="0: any that is free.")] = 8025,
    seed: Annotated[int, typer.Option(help="The same seed makes the same ids and faults.")] = 0,
    rate: Annotated[float, typer.Option(min=0, help="Requests a second for each tenant; 0: no limit.")] = 50.0,
    burst: Annotated[
        int | None, typer.Option(min=1, help="Requests at once; default: 20, or a minute's worth where that comes.")
    ] = None,
    refill: Annotated[
        str, typer.Option(metavar=_REFILLS, help="How the bucket fills: all the time, at each second, at each minute.")
    ] = "continuous",
    unseen_rate: Annotated[
        float,
        typer.Option(min=0, help="Requests a second of a second bucket, which no header shows; 0: there is none."),
    ] = 0.0,
    unseen_burst: Annotated[
        int | None, typer.Option(min=1, help="Its requests at once; default: what a refill brings.")
    ] = None,
    unseen_refill: Annotated[
        str | None, typer.Option(metavar=_REFILLS, help="How it fills; default: as the first.")
    ] = None,
    limit_headers: Annotated[bool, typer.Option(help="Tell of the first bucket in x-ratelimit-… headers.")] = True,
    retry_after: Annotated[bool, typer.Option("--retry-after", help="Send Retry-After with a 429.")] = False,
    clock_skew: Annotated[
        float, typer.Option(metavar="S", help="Seconds that its clock is ahead of this machine's; negative: behind.")
    ] = 0.0,
    neighbour: Annotated[
        float, typer.Option(metavar="R", help="Tokens a second that each tenant's other clients take, at random.")
    ] = 0.0,
    throttling: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="Repeatable. A tenant that answers 429 to everything.")
    ] = None,
    refusing: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="Repeatable. A tenant that answers 401 to everything.")
    ] = None,
    down: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="Repeatable. A tenant that resets every connection.")
    ] = None,
    quota: Annotated[int | None, typer.Option(min=0, help="Streams a tenant may have.")] = None,
    latency: Annotated[str, typer.Option(metavar="T|T-T", help="e.g. 30ms, or 20ms-200ms.")] = "0",
    fault: Annotated[
        list[str] | None, typer.Option(metavar="NAME=P", help=f"Repeatable. Faults: {', '.join(FAULTS)}.")
    ] = None,
    fault_on: Annotated[
        list[str] | None,
        typer.Option(metavar="KIND", help=f"Repeatable. Only these requests meet faults: {', '.join(FAULT_KINDS)}."),
    ] = None,
    late_by: Annotated[
        float, typer.Option(metavar="S", min=0, help="Seconds after which a late request takes effect.")
    ] = 0.2,
    action: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME[=ID]", help="Repeatable. An action of every tenant; default: no tenant has any."),
    ] = None,
    any_action: Annotated[
        bool, typer.Option("--any-action", help="Take streams for actions that a tenant with actions lacks.")
    ] = False,
    delivery_time: Annotated[
        float, typer.Option(metavar="S", min=0, help="Seconds that a test event's delivery is pending.")
    ] = 0.1,
    undeliverable: Annotated[
        list[str] | None,
        typer.Option(metavar="GLOB", help="Repeatable. Test events for such stream names or endpoints fail."),
    ] = None,
    vanishing_deliveries: Annotated[
        bool, typer.Option("--vanishing-deliveries", help="Show a test event's delivery no more once it succeeded.")
    ] = False,
    disabled_test: Annotated[
        str, typer.Option(metavar="hold|refuse", help="A test event for a disabled stream: pending for ever, or a 400.")
    ] = "hold",
    without_scope: Annotated[
        list[str] | None, typer.Option(metavar="SCOPE", help="Repeatable. A scope that no token carries.")
    ] = None,
    unique_names: Annotated[bool, typer.Option(help="Refuse a second stream of a name with 409.")] = True,
    strict_tokens: Annotated[
        bool, typer.Option("--strict-tokens", help="Take only tokens that /oauth/token issued; else any will do.")
    ] = False,
) -> None:
    """Serve a local Auth0 with seeded faults, until interrupted. Tenants: http://127.0.0.1:PORT/t/NAME."""
    settings = SandboxSettings(
        port=port, seed=seed, rate=rate or None, refill=parse_refill(refill),
        burst=20 if burst is None and refill != "minute" else burst,
        unseen_rate=unseen_rate or None, unseen_burst=unseen_burst,
        unseen_refill=parse_refill(unseen_refill) if unseen_refill is not None else None,
        limit_headers=limit_headers, retry_after=retry_after, clock_skew=clock_skew,
        neighbour=neighbour, throttling=throttling or (), refusing=refusing or (), down=down or (),
        quota=quota, latency=parse_latency(latency), faults=dict(map(parse_fault, fault or [])),
        faults_on=fault_on or (), actions=action or (), any_action=any_action, delivery_time=delivery_time,
        undeliverable=undeliverable or (), vanishing_deliveries=vanishing_deliveries,
        disabled_test=parse_disabled_test(disabled_test), scopes=scopes_without(without_scope or ()),
        late_by=late_by, unique_names=unique_names, strict_tokens=strict_tokens,
    )  # fmt: skip
    run_loop(lambda: _serve(settings))


async def _serve(settings: SandboxSettings) -> None:
    async with Sandbox(settings) as server:
        print_text(f"sandbox at {server.url} (tenants at {server.url}/t/NAME, books at {server.url}/_sandbox/books)")
        with anyio.open_signal_receiver(*heeded()) as received:
            async for _ in received:
                return
