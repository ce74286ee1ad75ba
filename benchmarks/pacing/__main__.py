"""The pacing policy against models of servers, beside what others do: `python -m benchmarks.pacing [--brief]`."""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from statistics import mean
from time import perf_counter
from typing import Final

from benchmarks.pacing.crowd import spread
from benchmarks.pacing.isolation import isolation_table
from benchmarks.pacing.picture import draw
from benchmarks.pacing.policies import OTHERS, OURS, Contender
from benchmarks.pacing.real import real_table
from benchmarks.pacing.servers import MORE, TABLE, Goal, Row
from benchmarks.pacing.simulator import Result, simulate

HOPELESS_S: Final = 600.0
"""How long a server that grants nothing at all is asked."""

SLOWEST: Final = 40.0
"""A run ends where it takes so many times as long as it had to."""


def play(row: Row, contender: Contender, *, seconds: float, seed: int) -> Result:
    """Send what the server would have granted in so many seconds."""
    server = row.make(seed)
    records = math.floor(row.make(seed).grantable(seconds))
    return simulate(
        server,
        contender.make(server.wall),
        records=records or math.ceil(seconds),
        concurrency=contender.concurrency,
        seed=seed,
        deadline=seconds * SLOWEST if records else HOPELESS_S,
    )


def play_seeds(row: Row, contender: Contender, *, seconds: float, seeds: Sequence[int]) -> list[Result]:
    """Play a row once with each seed."""
    return [play(row, contender, seconds=seconds, seed=seed) for seed in seeds]


def meets(results: Iterable[Result], goal: Goal) -> bool:
    """Return whether every one of the results is within the goal, and lost nothing."""
    return all(
        one.complete and not one.given_up and one.used >= goal.used and one.refused_share <= goal.refused
        for one in results
    )


# -- the tables -----------------------------------------------------------------------------------------------------


def cell(results: Sequence[Result], goal: Goal | None) -> str:
    """Return used share and share of 429, and what was given up; the worst of all seeds where there is a goal."""
    if not any(one.granted for one in results):
        return f"nothing granted · {mean(one.refused for one in results):,.0f} × 429" + _given_up(results)
    if goal is None:
        used, refused = mean(one.used for one in results), mean(one.refused_share for one in results)
    else:
        used, refused = min(one.used for one in results), max(one.refused_share for one in results)
    return f"{used:.3f} · {refused:.2%}" + _given_up(results) + _neighbour_got(results)


def _given_up(results: Sequence[Result]) -> str:
    lost = mean(one.given_up / one.records for one in results)
    return f" · {lost:.1%} lost" if lost else ""


def _neighbour_got(results: Sequence[Result]) -> str:
    shares = [one.neighbour_got for one in results if one.neighbour_got is not None]
    return f" · neighbour got {mean(shares):.0%}" if shares else ""


def table(rows: Iterable[Row], *, seconds: float, seeds: Sequence[int]) -> bool:
    """Print a table of rows in Markdown as they come; return whether ours met each goal."""
    met = True
    print("| server | goal | " + " | ".join(one.name for one in (OURS, *OTHERS)) + " |")
    print("| --- |" + " --- |" * (2 + len(OTHERS)))
    for row in rows:
        all_results = [play_seeds(row, one, seconds=seconds, seeds=seeds) for one in (OURS, *OTHERS)]
        cells = [cell(results, row.goal) for results in all_results]
        goal = ""
        if row.goal is not None:
            goal = f"≥ {row.goal.used:.2f} · ≤ {row.goal.refused:.1%}"
            if not meets(all_results[0], row.goal):
                met = False
                cells[0] += " **missed**"
        print(f"| {row.name} | {goal} | " + " | ".join(cells) + " |", flush=True)
    return met


def crowd(tenants: int, *, seconds: float, seed: int) -> None:
    """Print the spread of what many tenants of all plans come to."""
    began = perf_counter()
    spread_of = spread(tenants, seconds=seconds, seed=seed)
    print(
        f"{tenants:,} tenants of all plans, {spread_of.requests:,} requests of {spread_of.hours:,.0f} hours in "
        f"{perf_counter() - began:.0f} s: used share least {spread_of.least_used:.3f}, median "
        f"{spread_of.median_used:.3f}; 429 most {spread_of.most_refused:.2%}, median {spread_of.median_refused:.2%}"
    )


def read_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.pacing", description=(__doc__ or "").split(":")[0])
    parser.add_argument("--brief", action="store_true", help="small sizes: does it run at all?")
    parser.add_argument("--seed", type=int, default=1, metavar="N", help="the first of the seeds; default 1")
    parser.add_argument("--seeds", type=int, metavar="N", help="how many seeds; default 5; brief 1")
    parser.add_argument("--seconds", type=float, metavar="S", help="of traffic; default 300, with --real 60; brief 10")
    parser.add_argument("--picture", type=Path, metavar="FILE.svg", help="only draw who was granted and refused what")
    parser.add_argument("--real", action="store_true", help="only the first two rows and the last, in real time")
    parser.add_argument("--tenants", type=int, metavar="N", help="tenants in the crowd; default 10,000; brief 100")
    args = parser.parse_args()
    for name, brief, full in (
        ("seeds", 1, 5),
        ("seconds", 10.0, 60.0 if args.real else 300.0),
        ("tenants", 100, 10_000),
    ):
        if getattr(args, name) is None:
            setattr(args, name, brief if args.brief else full)
    return args


def main() -> int:
    """Print both tables and the crowd; return 1 where ours misses a goal, save with --brief."""
    args = read_arguments()
    if args.picture is not None:
        draw(args.picture, args.seed)
        return 0
    if args.real:
        met = real_table(args.seconds, args.seed)
        met = isolation_table(args.seconds / 3, args.seed) and met
        return 0 if met or args.brief else 1
    seeds = range(args.seed, args.seed + args.seeds)
    print("used share of what the server would have granted · share of 429 · records given up")
    print("(neighbour got: of what it wanted)\n")
    met = table(TABLE, seconds=args.seconds, seeds=seeds)
    print("\nand where there is no goal:\n")
    table(MORE, seconds=args.seconds, seeds=seeds[:1])
    print()
    crowd(args.tenants, seconds=min(60.0, args.seconds), seed=args.seed)
    print(
        f"goals of ours {'met' if met else 'missed'} (goal: each of {len(TABLE)} rows, with each of {args.seeds} seeds)"
    )
    return 0 if met or args.brief else 1


if __name__ == "__main__":
    sys.exit(main())
