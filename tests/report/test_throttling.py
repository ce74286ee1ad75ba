"""When tenants were paused: sums, the longest pauses, and what a picture shows of them; whatever their number."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bulkstreams.core.course import Paused
from bulkstreams.core.waiting import WaitKind
from bulkstreams.ledger import Ledger
from bulkstreams.model import TenantName
from bulkstreams.report import figures, throttling
from tests.ledger import ACME, in_loop, start
from tests.report import HOSTILE, PAUSES, TOLD, asked, noted_run, three_runs, two_runs

BEGAN = 1000.0


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return where the ledger is to be."""
    return tmp_path / "in.ledger.db"


async def note(ledger: Ledger, *pauses: Paused) -> None:
    """Note pauses in a run."""
    for tenant in {one.tenant for one in pauses}:
        await ledger.tenant(TenantName(tenant), f"https://{tenant}.test")
    await ledger.note_course([], pauses)


async def told(path: Path, *pauses: Paused, seconds: float = 720.0) -> dict[str, Any]:
    """Return what is told of a run of so many seconds that has paused so."""
    with await start(path, BEGAN) as ledger:
        await note(ledger, *pauses)
        await ledger.end_run(BEGAN + seconds, 0, {})
    found: dict[str, Any] = asked(path)["throttling"]
    return found


def pause(at: float, seconds: float = 1.0, **more: Any) -> Paused:
    """Return a pause that began so many seconds after its run."""
    usual = Paused(ACME, WaitKind.THROTTLED, BEGAN + at, BEGAN + at + seconds, seconds, 1, TOLD)
    return usual._replace(**more)


@in_loop
async def test_pauses_are_told_by_tenant(path: Path) -> None:
    """Those who paused longest come first; kinds add up, and the share is one of all time in runs."""
    found = (await three_runs(path))["throttling"]
    assert (found["pauses"], found["paused_s"], found["pauses_elsewhere"]) == (5, 6.5, 0)
    assert found["tenants"]["total"] == 2
    first, second = found["tenants"]["told"]
    assert (first["name"], first["pauses"], first["paused_s"]) == (ACME, 4, 6.0)
    assert first["throttled"] == {"pauses": 1, "paused_s": 2.0}
    assert first["unreachable"] == {"pauses": 3, "paused_s": 4.0}
    assert first["share"] == pytest.approx(6 / 25)
    assert (second["name"], second["paused_s"]) == (HOSTILE, 0.5)
    assert second["unreachable"] == {"pauses": 0, "paused_s": 0.0}


@in_loop
async def test_each_pause_is_told_with_its_run_and_its_reason(path: Path) -> None:
    """On the axis of the runs, on which the hours between them are no time; in the order of time."""
    found = await three_runs(path)
    pauses = found["throttling"]["longest"]
    assert [one["reason"] for one in pauses] == [TOLD, TOLD, HOSTILE]
    assert pauses[2] == {
        "tenant": ACME, "kind": "unreachable", "run": found["runs"]["told"][2]["name"], "at": 6004.0, "offset_s": 19.0,
        "seconds": 5.0, "paused_s": 4.0, "pauses": 3, "reason": HOSTILE,
    }  # fmt: skip
    assert found["throttling"]["tenants"]["told"][0]["longest"] == pauses[2]
    (stretch,) = [one for one in found["timeline"]["stretches"] if one["at"] == pytest.approx(6004.0)]
    assert stretch["offset_s"] == pauses[2]["offset_s"]


@in_loop
async def test_a_run_that_died_in_a_pause_paused_until_it_died(path: Path) -> None:
    """As far as anybody knows: what the pause was to last longer is told nowhere."""
    with await start(path, BEGAN) as ledger:
        await note(ledger, pause(10.0, 60.0), pause(30.0, 60.0, tenant="globex"))
    found = asked(path)
    assert found["effort"]["elapsed_s"] == 30.0
    assert found["throttling"]["paused_s"] == 20.0
    assert [one["seconds"] for one in found["throttling"]["longest"]] == [20.0, 0.0]


@in_loop
async def test_a_run_that_goes_on_has_paused_until_now(path: Path) -> None:
    """Not as long as it is going to."""
    with await start(path, BEGAN) as ledger:
        await note(ledger, pause(10.0, 60.0))
        found = asked(path, BEGAN + 15.0)
    assert found["throttling"]["paused_s"] == 5.0


@in_loop
async def test_no_tenant_is_paused_for_more_than_all_the_time(path: Path) -> None:
    """A clock that is set back makes a run end before it began; its pauses were as long as they were."""
    found = await told(path, pause(-3610.0, 7.0), seconds=-3600.0)
    (its,) = found["tenants"]["told"]
    assert (its["paused_s"], its["share"]) == (7.0, 1.0)


@in_loop
async def test_of_many_the_longest_are_told(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of tenants and of pauses; sums are of all, and it is said how many there are."""
    monkeypatch.setattr(throttling, "MOST_TENANTS", 3)
    monkeypatch.setattr(throttling, "MOST_PAUSES", 2)
    monkeypatch.setattr(throttling, "MOST_LANES", 1)
    found = await told(path, *(pause(n, 1.0 + n, tenant=f"t{n}") for n in range(6)), pause(100.0, 2.0, tenant="t5"))
    assert (found["pauses"], found["paused_s"]) == (7, 23.0)
    assert found["tenants"]["total"] == 6
    assert [one["name"] for one in found["tenants"]["told"]] == ["t5", "t4", "t3"]
    assert [one["paused_s"] for one in found["longest"]] == [5.0, 6.0]
    assert [one["name"] for one in found["lanes"]] == ["t5"]
    assert [one["paused_s"] for one in found["lanes"][0]["pauses"]] == [6.0, 2.0]


@in_loop
async def test_pauses_that_no_picture_can_tell_apart_are_one(path: Path) -> None:
    """Those of one tenant and kind that lie less than a pixel apart, with the reason of the longest among them."""
    found = await told(
        path,
        pause(0.0), pause(1.9, 3.0, reason="the longest"), pause(5.8), pause(6.9, kind=WaitKind.UNREACHABLE),
        pause(8.0), pause(8.5, tenant="globex"),
    )  # fmt: skip
    lanes = {one["name"]: one["pauses"] for one in found["lanes"]}
    assert [(one["offset_s"], one["seconds"], one["paused_s"], one["pauses"]) for one in lanes[ACME]] == [
        (0.0, 6.8, 5.0, 3), (6.9, 1.0, 1.0, 1), (8.0, 1.0, 1.0, 1),
    ]  # fmt: skip
    assert [one["reason"] for one in lanes[ACME]] == ["the longest", TOLD, TOLD]
    assert len(lanes["globex"]) == 1
    assert len(found["longest"]) == 6


@in_loop
async def test_a_picture_never_has_more_bars_than_it_can_show(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there are more, they are put together from farther apart; no second and no pause of them is lost."""
    monkeypatch.setattr(throttling, "MOST_BARS", 10)
    pauses = [pause(3.0 * n, tenant=f"t{n % 2}") for n in range(200)]
    found = await told(path, *pauses)
    bars = [one for lane in found["lanes"] for one in lane["pauses"]]
    assert 2 <= len(bars) <= 10
    assert sum(one["pauses"] for one in bars) == 200
    assert sum(one["paused_s"] for one in bars) == pytest.approx(200.0)
    assert [lane["name"] for lane in found["lanes"]] == ["t0", "t1"]


@in_loop
async def test_no_pause_is_put_together_with_one_of_another_run(path: Path) -> None:
    """However close their runs lie on the axis."""
    for began in (BEGAN, 2 * BEGAN):
        with await start(path, began) as ledger:
            await note(ledger, pause(0.0, 10.0)._replace(began_at=began, ended_at=began + 10.0))
            await ledger.end_run(began + 10.0, 0, {})
    (lane,) = asked(path)["throttling"]["lanes"]
    assert [one["offset_s"] for one in lane["pauses"]] == [0.0, 10.0]


@in_loop
async def test_pauses_of_runs_that_are_not_told_are_counted(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As is said of their records."""
    monkeypatch.setattr(figures, "MOST_RUNS", 1)
    await noted_run(path)
    with await start(path, 8000.0) as ledger:
        await ledger.end_run(8001.0, 0, {})
    found = asked(path, 9000.0)["throttling"]
    assert (found["pauses"], found["pauses_elsewhere"]) == (0, sum(one.pauses for one in PAUSES))


@in_loop
async def test_what_nobody_noted_is_no_zero(path: Path) -> None:
    """Runs that kept no course may have paused; runs that asked nothing did not."""
    found = (await two_runs(path))["throttling"]
    assert (found["pauses"], found["paused_s"], found["longest"], found["lanes"]) == (None, None, [], [])


@in_loop
async def test_of_a_run_that_asked_nothing_no_pause_is_known(path: Path) -> None:
    """There was none."""
    with await start(path) as ledger:
        await ledger.end_run(2.0, 0, {})
    assert asked(path)["throttling"]["pauses"] == 0
