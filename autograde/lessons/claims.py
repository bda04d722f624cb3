"""Whether what the lessons say of their runs holds: for other seeds, and on other processors. `python -m autograde claims`.

Each assertion of a ` ```python claim=true ` fence is a claim. Every run is a process of its own, which executes the whole lesson,
solutions in place, with every seed in its text moved.
"""

import ast
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from .lesson import CourseError, Lesson, read_lesson

# Older processors, by what PyTorch, its convolutions, its linear algebra and NumPy are told to do without.
# Elsewhere than on x86-64 these words change nothing.
PROCESSORS = {
    "AVX2": {
        "ATEN_CPU_CAPABILITY": "avx2",
        "ONEDNN_MAX_CPU_ISA": "AVX2",
        "MKL_CBWR": "AVX2",
        "OPENBLAS_CORETYPE": "Haswell",
    },
    "SSE4": {
        "ATEN_CPU_CAPABILITY": "default",
        "ONEDNN_MAX_CPU_ISA": "SSE41",
        "MKL_CBWR": "COMPATIBLE",
        "OPENBLAS_CORETYPE": "Nehalem",
    },
}
SEEDING = {"manual_seed", "default_rng"}
APART = 1000  # between the seeds of two runs: lessons count theirs from 0


@dataclass(frozen=True)
class Outcome:
    """What became of one claim in one run. line: of the assertion in the lesson's text. said: what it printed where it failed."""

    line: int
    claim: str
    held: bool
    said: str = ""


class _Move(ast.NodeTransformer):
    """`manual_seed(3)` → `manual_seed(moved(3))`, so that every draw of a lesson is another one."""

    def visit_Call(self, node: ast.Call) -> ast.Call:
        self.generic_visit(node)
        name = getattr(node.func, "attr", getattr(node.func, "id", None))
        if name in SEEDING and node.args:
            node.args[0] = ast.Call(ast.Name("moved_seed", ast.Load()), [node.args[0]], [])
        return node


def run_lesson(lesson: Lesson, seed: int) -> Iterator[Outcome]:
    """Execute the solved lesson here, with `seed` · 1000 added to its seeds; yields the outcome of each claim as it is reached.

    Raises CourseError where a cell stops with an error.
    """
    import matplotlib
    import torch
    from IPython.display import display

    def moved_seed(value: Any) -> Any:
        return [int(part) + APART * seed for part in value] if isinstance(value, Sequence) else int(value) + APART * seed

    matplotlib.use("Agg")
    torch.manual_seed(moved_seed(0))
    module = ModuleType("__main__")
    sys.modules["__main__"] = module  # where a cell's classes are looked up
    module.__dict__.update(moved_seed=moved_seed, display=display)  # the latter as a kernel has it
    for cell in lesson.cells:
        if cell.kind != "code":
            continue
        # Line numbers are the text's, in a traceback as in an outcome.
        tree = ast.increment_lineno(ast.fix_missing_locations(_Move().visit(ast.parse(cell.source))), cell.line - 1)
        for statement in tree.body:
            claim = cell.claim and isinstance(statement, ast.Assert)
            code = compile(ast.Module([statement], []), str(lesson.path), "exec")
            try:
                exec(code, module.__dict__)
            except Exception as error:
                what = " ".join(f"{type(error).__name__}: {error}".split())
                if not claim:
                    raise CourseError(f"{lesson.path}:{statement.lineno}: stops with {what} (seed {seed})") from error
                yield Outcome(statement.lineno, ast.unparse(statement.test), False, what.removeprefix("AssertionError: "))
            else:
                if claim:
                    yield Outcome(statement.lineno, ast.unparse(statement.test), True)


def run_here(name: str, seed: int) -> None:
    """What a run's process does: print the outcomes as JSON, one a line, on the standard output that it was born with."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what the lesson itself prints
    with tempfile.TemporaryDirectory() as folder:
        lesson = read_lesson(name)
        os.chdir(folder)  # the weights that it saves
        for outcome in run_lesson(lesson, seed):
            print(json.dumps(outcome.__dict__), file=answers, flush=True)


def _run(name: str, seed: int, processor: str) -> list[Outcome]:
    command = [sys.executable, "-m", "autograde", "claims", name, "--seeds", str(seed), "--here"]
    done = subprocess.run(command, env={**os.environ, **PROCESSORS[processor]}, capture_output=True, text=True)
    if done.returncode:
        raise CourseError(f"{name}, seed {seed}, {processor}: {(done.stderr.strip().splitlines() or ['it was killed'])[-1]}")
    return [Outcome(**json.loads(line)) for line in done.stdout.splitlines()]


def check_claims(lessons: Sequence[Lesson], seeds: Sequence[int], processors: Sequence[str], workers: int) -> bool:
    """Run each lesson for each seed on each emulated processor; print which claim held where. Returns whether all held."""
    for processor in processors:
        if processor not in PROCESSORS:
            raise CourseError(f"no processor is called {processor!r} (known: {', '.join(PROCESSORS)})")
    places = [(seed, processor) for processor in processors for seed in seeds]
    all_held = True
    with ThreadPoolExecutor(workers) as pool:
        runs = {
            lesson.name: [(seed, processor, pool.submit(_run, lesson.name, seed, processor)) for seed, processor in places]
            for lesson in lessons
        }
        try:
            for name, started in runs.items():
                print(f"\n{name}: {_table([(s, p, run.result()) for s, p, run in started])}", flush=True)
                all_held &= all(outcome.held for _, _, run in started for outcome in run.result())
        except CourseError:
            pool.shutdown(cancel_futures=True)
            raise
    return all_held


def _table(runs: list[tuple[int, str, list[Outcome]]]) -> str:
    """Which claim held where: one line a claim that failed somewhere, with what it said; the others are counted."""
    by_claim: dict[tuple[int, str], list[tuple[str, Outcome]]] = {}
    for seed, processor, outcomes in runs:
        for outcome in outcomes:
            by_claim.setdefault((outcome.line, outcome.claim), []).append((f"seed {seed} {processor}", outcome))
    failed = {place: found for place, found in by_claim.items() if not all(outcome.held for _, outcome in found)}
    lines = [f"claims: {len(by_claim)}, hold in every run: {len(by_claim) - len(failed)} (runs: {len(runs)})"]
    for (line, claim), found in failed.items():
        lines.append(f"  line {line}: {claim}")
        lines += [f"    {where}: {'holds' if o.held else 'FAILS ' + o.said}" for where, o in found]
    return "\n".join(lines)
