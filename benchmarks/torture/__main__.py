"""Once each, whatever dies: `python -m benchmarks.torture [--seed N] [--kills K] [--records N] [--brief]`.

The real command runs against the real sandbox, each in a process of its own, with every fault on. It is killed at
random instants and at named points, run again to the end, and the sandbox's books are held against the ledger: once
with names that are unique at the server, and once where it takes a second stream of a name.
"""

from __future__ import annotations

import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from benchmarks.machine import arguments
from benchmarks.torture.trial import Trial

BRIEF = {"seed": 1, "rounds": 1, "kills": 2, "records": 80, "tenants": 3, "rate": 10}
LONG = {"seed": 1, "rounds": 3, "kills": 34, "records": 8000, "tenants": 6, "rate": 45}
FORMS = {"unique": "only where names are unique", "not-unique": "only where the server takes a name twice"}


def main() -> None:
    """Run each form of each seed, the two forms of a seed at the same time, and print a line of figures each."""
    args = arguments(__doc__, BRIEF, LONG, switches=FORMS)
    forms = [unique for unique in (True, False) if not (args.not_unique if unique else args.unique)]
    sizes = {"kills": args.kills, "records": args.records, "tenants": args.tenants, "rate": args.rate}
    wrong = 0
    for seed in range(args.seed, args.seed + args.rounds):
        with tempfile.TemporaryDirectory() as name, ThreadPoolExecutor() as pool:
            trials = [Trial(seed=seed, unique=unique, **sizes) for unique in forms]
            for trial in pool.map(lambda one: one.run(_folder(name, one)), trials):
                wrong += len(trial.complaints)
                print(*trial.complaints, trial, sep="\n", flush=True)
    print(f"{wrong} wrong (goal: 0)")
    sys.exit(wrong > 0)


def _folder(name: str, trial: Trial) -> Path:
    folder = Path(name) / ("unique" if trial.unique else "not-unique")
    folder.mkdir()
    return folder


if __name__ == "__main__":
    main()
