"""``make bench``: every benchmark, as JSON lines and a table. Names on the command line choose some of them."""

from __future__ import annotations

import importlib
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.benchmarks.measure import Result

ALL = (
    "sequential",
    "many",
    "replaying",
    "waiting",
    "latency",
    "importing",
    "loading",
    "clicking",
    "updating",
    "paging",
    "command_line",
    "control",
)


def main(names: list[str]) -> int:
    unknown = set(names) - set(ALL)
    if unknown:
        print(f"no such benchmark: {', '.join(sorted(unknown))}; there are {', '.join(ALL)}", file=sys.stderr)
        return 2
    results: list[Result] = []
    for name in names or ALL:
        with tempfile.TemporaryDirectory(prefix="wfkernel-bench-") as directory:
            found = importlib.import_module(f"tests.benchmarks.{name}").run(Path(directory))
        for result in found:
            print(result.as_json(), flush=True)
        results += found
    print(table(results))
    return 0


def table(results: list[Result]) -> str:
    width = max(len(r.name) for r in results)
    lines = ["", f"{'':{width}}  {'value':>10}  {'target':>10}"]
    for r in results:
        sign = "<=" if r.better == "lower" else ">="
        verdict = "met" if r.is_met else "MISSED"
        lines.append(f"{r.name:{width}}  {r.value:>10.3f}  {sign} {r.target:<7g} {r.unit:<11} {verdict:<6} {r.detail}")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
