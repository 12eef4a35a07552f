"""Runs z3 on SMT-LIB text from standard input, in a process of its own with hard limits.

    python -I z3_worker.py SECONDS BYTES < problem.smt2

Prints one line of JSON: {"status": "sat" | "unsat" | "unknown", "model": {name: "p/q"}, "reason": text,
"seconds": CPU time of the decision, without that of starting}.
"""

from __future__ import annotations

import json
import resource
import sys
import time


def limit(seconds: float, memory: int) -> None:
    """Bound this process' CPU seconds and address space for good."""
    _, most = resource.getrlimit(resource.RLIMIT_CPU)
    cpu = int(seconds) + 1 if most == resource.RLIM_INFINITY else min(int(seconds) + 1, most)
    resource.setrlimit(resource.RLIMIT_CPU, (cpu, cpu))
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))


def solve(text: str, seconds: float) -> dict[str, object]:
    """Decide the conjunction of the assertions in `text`."""
    import z3

    start = time.process_time()
    solver = z3.Solver()
    solver.set("timeout", max(1, int(1000 * seconds)))
    solver.from_string(text)
    status = str(solver.check())
    model = {}
    if status == "sat":
        found = solver.model()
        model = {
            str(d): str(found[d].as_fraction()) for d in found.decls() if d.arity() == 0 and str(d)[0] == "t"
        }
    return {
        "status": status,
        "model": model,
        "reason": solver.reason_unknown() if status == "unknown" else "",
        "seconds": time.process_time() - start,
    }


def main() -> None:
    """Read, solve, print."""
    seconds, memory = float(sys.argv[1]), int(sys.argv[2])
    limit(seconds, memory)
    try:
        answer = solve(sys.stdin.read(), seconds)
    except MemoryError:
        answer = {"status": "unknown", "model": {}, "reason": "memory limit", "seconds": 0.0}
    except Exception as error:  # z3's own exception type needs z3, which may be what failed
        reason = f"{type(error).__name__}: {str(error)[:200]}"
        answer = {"status": "unknown", "model": {}, "reason": reason, "seconds": 0.0}
    print(json.dumps(answer))


if __name__ == "__main__":
    main()
