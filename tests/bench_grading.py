"""Submissions a minute and peak memory: stock nbgrader (its own Execute) against this grader, in one run on the same files.

Writes its table into README.md. `--students 100` takes most of an hour, nearly all of it stock nbgrader's.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import nbformat

from autograde.lessons.build import source_notebook
from autograde.lessons.lesson import ROOT, read_lesson
from autograde.sandbox.memory import memory_below

BEGIN, END = "<!-- bench-grading -->", "<!-- /bench-grading -->"
# nbgrader as it comes: its own Execute and SaveAutoGrades, with as much time for a cell as this course's lessons need.
STOCK = """
del c.Autograde["autograde_preprocessors"]
c.ExecutePreprocessor.timeout = 600
"""


@dataclass
class Measured:
    name: str
    seconds: float
    peak: float  # bytes

    def per_minute(self, students: int) -> float:
        return 60 * students / self.seconds


def make_course(folder: Path, lesson, students: int, stock: bool) -> Path:
    """A course with the same submissions for everybody: solved notebooks, every fifth with one wrong answer."""
    root = folder / ("stock" if stock else "course")
    root.mkdir()
    ours = (ROOT / "nbgrader_config.py").read_text()
    (root / "nbgrader_config.py").write_text(ours.replace("\ntake_over()\n", "\n") + STOCK if stock else ours)
    source = root / "build" / "source" / lesson.name
    source.mkdir(parents=True)
    nbformat.write(source_notebook(lesson), source / f"{lesson.name}.ipynb")
    run(root, "-m", "nbgrader", "generate_assignment", lesson.name)
    for number in range(students):
        notebook = source_notebook(lesson)
        if number % 5 == 0:
            name = next(name for name in lesson.exercises if not name.startswith("predict"))
            cell = next(c for c in notebook.cells if c.metadata.get("nbgrader", {}).get("grade_id") == name)
            cell.source += f"\n\ndel {name}"
        path = root / "grading" / "submitted" / f"student{number:03}" / lesson.name
        path.mkdir(parents=True)
        nbformat.write(notebook, path / f"{lesson.name}.ipynb")
    return root


def run(root: Path, *words: str) -> Measured:
    """Run a command of this Python in `root`; its wall time and the peak of the memory that it and all below it hold."""
    start, peak = time.perf_counter(), 0.0
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen([sys.executable, *words], cwd=root, stdout=log, stderr=subprocess.STDOUT)
        while process.poll() is None:
            peak = max(peak, memory_below(process.pid))
            time.sleep(0.5)
        log.seek(0)
        said = log.read().decode(errors="replace")
    if process.returncode:
        raise SystemExit(f"{' '.join(words)} failed:\n{said[-2000:]}")
    return Measured(" ".join(words), time.perf_counter() - start, peak)


def scores(root: Path, lesson) -> dict[str, float]:
    from nbgrader.api import Gradebook

    with Gradebook(f"sqlite:///{root}/grading/gradebook.db") as book:
        return {s.student.id: s.score for s in book.assignment_submissions(lesson.name)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--students", type=int, default=100)
    parser.add_argument("--lesson", default="03_kl_divergence")
    parser.add_argument("--stock", type=int, metavar="N", help="let stock nbgrader grade only N of them")
    args = parser.parse_args()
    lesson, stock_students = read_lesson(args.lesson), args.stock or args.students
    with tempfile.TemporaryDirectory() as folder:
        stock = make_course(Path(folder), lesson, stock_students, stock=True)
        ours = make_course(Path(folder), lesson, args.students, stock=False)
        rows = []
        for workers in (1, 2):
            measured = run(ours, "-m", "autograde", "grade", lesson.name, "--workers", str(workers), "--again")
            rows.append((f"this grader, sandboxed, {workers} worker{'s' * (workers > 1)}", args.students, measured))
        measured = run(stock, "-m", "nbgrader", "autograde", lesson.name)
        rows.insert(0, ("stock `nbgrader autograde`", stock_students, measured))
        both = scores(stock, lesson), scores(ours, lesson)
        different = [student for student in both[0] if both[0][student] != both[1][student]]
    table = ["| | submissions | a minute | against stock | peak memory |", "| --- | --- | --- | --- | --- |"]
    base = rows[0][2].per_minute(rows[0][1])
    for name, n, measured in rows:
        rate = measured.per_minute(n)
        table.append(f"| {name} | {n} | {rate:.1f} | {rate / base:.1f} : 1 | {measured.peak / 1e9:.1f} GB |")
    note = (
        f"{lesson.name}, {os.cpu_count()} cores, in one run. Both gave the same marks."
        if not different
        else (f"{lesson.name}, {os.cpu_count()} cores. DIFFERENT marks for {', '.join(different)}.")
    )
    text = "\n".join([*table, "", note])
    print(text)
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    before, after = readme.split(BEGIN)[0], readme.split(END)[1]
    (ROOT / "README.md").write_text(f"{before}{BEGIN}\n{text}\n{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
