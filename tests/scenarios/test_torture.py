"""The torture bench in its short form, and its judge before forged books: it must hold, and it must be able to see."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from benchmarks.torture.feed import Line, feed
from benchmarks.torture.judge import KINDS, Complaint, Findings, count, judge
from benchmarks.torture.lives import REQUESTS, START, End, drawn, in_order
from benchmarks.torture.trial import Trial
from bulkstreams.failpoints import POINTS

KILLS = 10
FORMS = {"unique": (3, True), "not-unique": (4, False)}


def tortured(form: str, folder: Path) -> Trial:
    """Run the short form of a trial."""
    seed, unique = FORMS[form]
    return Trial(seed=seed, unique=unique, kills=KILLS, records=750, tenants=3, rate=25).run(folder)


@pytest.fixture(scope="module")
def trials(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Trial]:
    """Run a trial with unique names and one without, at the same time: most of it is waiting."""
    folders = [tmp_path_factory.mktemp(name) for name in FORMS]
    with ThreadPoolExecutor() as pool:
        return dict(zip(FORMS, pool.map(tortured, FORMS, folders), strict=True))


@pytest.mark.timeout(400)
@pytest.mark.parametrize("form", FORMS)
def test_killed_over_and_over_each_record_is_created_once(trials: dict[str, Trial], form: str) -> None:
    """With every fault on and the process killed at instants and points, nothing is doubled, lost or misremembered."""
    trial = trials[form]
    print(trial)
    assert not trial.complaints, "\n".join(map(str, trial.complaints))
    assert trial.killed == KILLS
    assert 0 < trial.at_points < KILLS
    assert trial.signalled > 0
    assert trial.faults > 100
    assert trial.lives > KILLS


# -- what the bench does, without a run -------------------------------------------------------------------------------


def test_the_same_seed_draws_the_same_lines_and_ends() -> None:
    """A seed that found something finds it again, as far as a machine's timing allows."""

    def all_of(seed: int) -> list[Any]:
        ends = drawn(seed, 5000, 50)
        return [feed(seed, 300, ["a", "b"]), *(next(ends) for _ in range(200))]

    assert all_of(5) == all_of(5)
    assert all_of(5)[0] != all_of(6)[0]


def test_lines_of_every_kind_are_fed() -> None:
    """Whatever can become of a line without its being refused is asked for, at every tenant."""
    lines, seeds = feed(5, 1000, ["a", "b", "c"])
    assert {line.expected for line in lines} == {"created", "exists", "conflict", "invalid", "duplicate"}
    assert {line.tenant for line in lines} == {"a", "b", "c"}
    assert {tenant for tenant, _ in seeds} <= {"a", "b", "c"}
    marks = [(line.tenant, line.mark) for line in lines if line.mark]
    assert len(marks) > 900
    assert {mark.startswith("https://") for (_, mark), times in Counter(marks).items() if times > 1} == {True}
    assert sum(mark.startswith("https://") for _, mark in marks) > 200


def test_half_of_the_ends_come_at_points_and_all_points_come() -> None:
    """Kills at instants and at points take turns; no point is left out before another comes twice."""
    ends = drawn(5, 5000, 50)
    first = [next(ends) for _ in range(5 * len(POINTS) // 2)]
    points = [end.point.partition(":")[0] for end in first if end.point]
    assert sorted(points) == sorted(POINTS)
    assert sum(not end.point for end in first) - len(points) == len(points) // 2
    assert {end.what for end in first if not end.point} >= {START, REQUESTS}


# -- the judge --------------------------------------------------------------------------------------------------------


def stream(number: int, name: str | None) -> dict[str, Any]:
    """Return a stream as the API lists it."""
    shown = {} if name is None else {"name": name}
    configuration = {"webhook_endpoint": f"https://example.com/{number}"}
    return {"id": f"est_{number}", **shown, "destination": {"type": "webhook", "configuration": configuration}}


NAMES = ("one", None, "before", "other", None, None)
MARKS = ("one", "https://example.com/2", "before", "other", "", "", *["https://example.com/twin"] * 2)
STATES = ("created", "created", "exists", "conflict", "invalid", "duplicate", "created", "created")
IDS = ("est_1", "est_2", "est_3", None, None, None, "est_5", "est_6")


class Case:
    """Books, listing, ledger and telling of eight lines, all in order until somebody forges them."""

    def __init__(self) -> None:
        self.streams = [stream(number, name) for number, name in enumerate(NAMES, 1)]
        for twin in self.streams[4:]:
            twin["destination"]["configuration"]["webhook_endpoint"] = "https://example.com/twin"
        self.books = [{"tenant": "t", "id": one["id"], "name": one.get("name")} for one in self.streams]
        what = enumerate(zip(MARKS, STATES, strict=True), 1)
        self.lines = [Line(number, "t", mark, state, "") for number, (mark, state) in what]
        self.rows: list[dict[str, Any]] = [
            {"line": number, "state": state, "remote_id": id_}
            for number, (state, id_) in enumerate(zip(STATES, IDS, strict=True), 1)
        ]
        self.told = [dict(row) for row in self.rows]

    def add(self, number: int, name: str | None) -> None:
        """Let one more stream stand at the tenant."""
        self.streams.append(stream(number, name))
        self.books.append({"tenant": "t", "id": f"est_{number}", "name": name})

    def complaints(self) -> list[Complaint]:
        """Ask the judge."""
        return judge(self.lines, Findings(self.rows, self.books, {"t": self.streams}, self.told))

    def counts(self) -> dict[str, int]:
        """Return how many complaints there are of the kinds that there are any of."""
        return {kind: number for kind, number in count(self.complaints()).items() if number}


def test_the_judge_finds_nothing_where_all_is_in_order() -> None:
    """Books, listing, ledger and telling that agree with the input give no complaint."""
    assert Case().complaints() == []
    assert set(count([])) == set(KINDS)


FORGERIES: dict[str, tuple[Callable[[Case], object], dict[str, int]]] = {
    "a doubled name": (lambda case: case.add(9, "one"), {"twice": 1}),
    "a nameless stream doubled": (
        lambda case: (case.add(2, None), case.books[-1].update(id="est_9"), case.streams[-1].update(id="est_9")),
        {"twice": 1},
    ),
    "a third of a name": (lambda case: (case.add(8, "one"), case.add(9, "one")), {"twice": 2}),
    "one that was there, created again": (lambda case: case.add(9, "before"), {"twice": 1}),
    "a missing one": (lambda case: (case.books.pop(0), case.streams.pop(0)), {"lost": 1, "wrong ids": 1}),
    "a stream for an invalid line": (lambda case: case.add(9, "five"), {"strangers": 1}),
    "one at another tenant": (
        lambda case: case.books[0].update(tenant="u"),
        {"lost": 1, "strangers": 1, "wrong ids": 1},
    ),
    "one that the API does not list": (
        lambda case: case.streams.pop(0),
        {"lost": 1, "strangers": 1, "wrong ids": 1},
    ),
    "a wrong id": (
        lambda case: (case.rows[0].update(remote_id="est_2"), case.told.pop(0)),
        {"wrong ids": 1},
    ),
    "one stream for two records": (
        lambda case: (case.rows[6].update(remote_id="est_6"), case.told.pop(6)),
        {"wrong ids": 1},
    ),
    "a twin that is missing": (
        lambda case: (case.books.pop(), case.streams.pop()),
        {"lost": 1, "wrong ids": 1},
    ),
    "no id": (lambda case: (case.rows[1].update(remote_id=None), case.told.pop(1)), {"wrong ids": 1}),
    "an id for a duplicate": (
        lambda case: (case.rows[5].update(remote_id="est_1"), case.told.pop(5)),
        {"wrong ids": 1},
    ),
    "created, said to exist": (
        lambda case: (case.rows[0].update(state="exists"), case.told.pop(0)),
        {"wrong states": 1},
    ),
    "there before, said to be created": (
        lambda case: (case.rows[2].update(state="created"), case.told.pop(2)),
        {"wrong states": 1},
    ),
    "left in doubt": (
        lambda case: (case.rows[1].update(state="in_doubt"), case.told.pop(1)),
        {"wrong states": 1},
    ),
    "a line that the ledger forgot": (lambda case: (case.rows.pop(4), case.told.pop(4)), {"wrong states": 1}),
    "a line that the ledger has twice": (lambda case: case.rows.append(case.rows[4]), {"wrong states": 1}),
    "a line that nobody wrote": (
        lambda case: case.rows.append({"line": 9, "state": "invalid", "remote_id": None}),
        {"wrong states": 1},
    ),
    "told, then settled otherwise": (lambda case: case.told[0].update(remote_id="est_2"), {"told otherwise": 1}),
    "told before it was settled": (lambda case: case.told[0].update(state="in_flight"), {"told otherwise": 1}),
    "told, then forgotten": (
        lambda case: case.told.append({"line": 9, "state": "created", "remote_id": "est_9"}),
        {"told otherwise": 1},
    ),
}


@pytest.mark.parametrize("what", FORGERIES)
def test_the_judge_complains_of_forged_findings(what: str) -> None:
    """Each thing that can be wrong is found, counted under its name, and shown with its evidence."""
    forge, expected = FORGERIES[what]
    case = Case()
    forge(case)
    assert case.counts() == expected
    assert all(str(one).startswith(f"{one.kind}: ") and len(one.what) > 10 for one in case.complaints())


def test_what_was_told_and_is_taken_up_again_is_no_complaint() -> None:
    """A record that was told as exhausted may be created by a later run."""
    case = Case()
    case.told[0].update(state="exhausted", remote_id=None)
    assert case.complaints() == []


@pytest.mark.parametrize(
    ("code", "signals", "expected"),
    [
        (-9, (), True),
        (0, (), True),
        (5, (), True),
        (143, (15,), True),
        (-2, (2, 2), True),
        (-2, (2,), False),
        (-11, (), False),
        (2, (), False),
        (3, (), False),
    ],
)
def test_a_life_that_ends_as_none_should_is_noticed(code: int, signals: tuple[Any, ...], expected: bool) -> None:
    """Exit codes of a run, our own SIGKILL, and a second signal that met a process past its handlers; no others."""
    assert in_order(code, End(REQUESTS, 1, 0.0, signals)) is expected
    assert in_order(code, None) is (expected and len(signals) < 2)
