"""What the class got wrong: one self-contained page of HTML for a lesson, pictures first, a table under each."""

import base64
import html
import io
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from .catalogue import find_exercise
from .classroom import Course
from .lesson import CourseError, Lesson
from .marks import Marks, State

STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60em; margin: 2em auto; padding: 0 1em; color: #222 }
table { border-collapse: collapse; margin: .5em 0 2em } th, td { padding: .25em .8em; text-align: left; vertical-align: top }
th { border-bottom: 2px solid #888 } td { border-bottom: 1px solid #ddd } td.number { text-align: right }
img { max-width: 100% } .warning { border-left: 4px solid #b35900; padding-left: .8em }
"""


def write_report(course: Course, lesson: Lesson, path: Path) -> Path:
    """Write the page to `path`; returns it. Raises CourseError where no marks are on file."""
    folder = course.marks_file("", lesson.name).parent
    results = {file.stem: course.saved_marks(file.stem, lesson.name) for file in sorted(folder.glob("*.json"))}
    results = {student: marks for student, marks in results.items() if marks is not None}
    if not results:
        raise CourseError(f"no marks of {lesson.name} are on file: run `python -m autograde grade {lesson.name}` first")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(report(lesson, results), encoding="utf-8")
    return path


def report(lesson: Lesson, results: dict[str, Marks]) -> str:
    """The page. results: marks by student."""
    handed_in = {student: marks for student, marks in results.items() if marks.state != State.MISSING}
    parts = [f"<h1>{_text(lesson.name)}: what the class got wrong</h1>", f"<p>{_counts(results)}</p>"]
    if not all(marks.sandboxed for marks in results.values()):
        parts.append(
            "<p class='warning'><b>Some of this was graded without a sandbox</b>, with the grader's own rights.</p>"
        )
    parts += _marks(lesson, handed_in) + _exercises(lesson, handed_in) + _mistakes(lesson, handed_in) + _humans(results)
    head = f"<meta charset='utf-8'><title>{_text(lesson.name)}</title><style>{STYLE}</style>"
    return f"<!doctype html><html lang='en'><head>{head}</head><body>{''.join(parts)}</body></html>\n"


def _counts(results: dict[str, Marks]) -> str:
    states = Counter(marks.state for marks in results.values())
    counts = ", ".join(f"{n} {_text(state)}" for state, n in states.most_common())
    return f"{len(results)} students: {counts}. {sum(m.needs_a_human for m in results.values())} need a human (below)."


def _humans(results: dict[str, Marks]) -> list[str]:
    rows = []
    for student, marks in results.items():
        if marks.state.needs_a_human:
            rows.append((student, marks.state, " ".join(marks.remarks)))
        else:
            rows += [(student, f"{m.exercise}: {m.state}", m.message) for m in marks.exercises if m.state.needs_a_human]
    if not rows:
        return ["<h2>For a human</h2><p>Nothing.</p>"]
    return ["<h2>For a human</h2>", _table(("student", "what", "why"), rows)]


def _marks(lesson: Lesson, results: dict[str, Marks]) -> list[str]:
    most = sum(cell.points for cell in lesson.exercises.values())
    counts = Counter(round(marks.points) for marks in results.values())
    points = range(most + 1)
    figure, axes = _figure(3)
    axes.bar(points, [counts[p] for p in points], color="#4477aa", edgecolor="black")
    axes.set(xlabel=f"points, of {most}", ylabel="students")
    axes.yaxis.get_major_locator().set_params(integer=True)
    rows = [(p, counts[p]) for p in points if counts[p]]
    return [
        "<h2>Marks</h2>",
        _picture(figure, f"How many students have how many of {most} points."),
        _table(("points", "students"), rows),
    ]


def _exercises(lesson: Lesson, results: dict[str, Marks]) -> list[str]:
    n = max(1, len(results))
    states = {name: Counter() for name in lesson.exercises}
    for marks in results.values():
        for mark in marks.exercises:
            if mark.exercise in states:
                states[mark.exercise][mark.state] += 1
    names = list(states)
    shares = [100 * states[name][State.PASSED] / n for name in names]
    figure, axes = _figure(1 + 0.35 * len(names))
    axes.barh(names, shares, color="#4477aa", edgecolor="black")
    axes.invert_yaxis()
    axes.set(xlabel="passed, % of those who handed in", xlim=(0, 112))
    for i, share in enumerate(shares):
        axes.text(share + 1, i, f"{share:.0f}", va="center")
    others = sorted({state for counts in states.values() for state in counts} - {State.PASSED})
    rows = [
        (name, f"{share:.0f} %", *(states[name][s] for s in (State.PASSED, *others)))
        for name, share in zip(names, shares, strict=True)
    ]
    table = _table(("exercise", "pass rate", State.PASSED, *others), rows)
    return ["<h2>Exercises</h2>", _picture(figure, "The share of students who passed each exercise."), table]


def _mistakes(lesson: Lesson, results: dict[str, Marks]) -> list[str]:
    counts = Counter((m.exercise, m.mistake) for marks in results.values() for m in marks.exercises if m.mistake)
    unnamed = Counter(
        m.exercise
        for marks in results.values()
        for m in marks.exercises
        if m.state == State.FAILED and not m.mistake and m.written
    )
    if not counts and not unnamed:
        return ["<h2>Mistakes</h2><p>None.</p>"]
    parts = ["<h2>Mistakes</h2>"]
    top = counts.most_common(20)
    if top:
        figure, axes = _figure(1 + 0.35 * len(top))
        axes.barh(
            [f"{exercise}: {mistake}" for (exercise, mistake), _ in top],
            [n for _, n in top],
            color="#ee7733",
            edgecolor="black",
            hatch="//",
        )
        axes.invert_yaxis()
        axes.set(xlabel="students")
        axes.xaxis.get_major_locator().set_params(integer=True)
        parts.append(_picture(figure, "The most frequent mistakes that the judge knows by name."))
    rows = [
        (exercise, mistake, n, find_exercise(exercise).mistakes[mistake][0])
        for (exercise, mistake), n in counts.most_common()
    ]
    rows += [(exercise, "(no known one)", n, "") for exercise, n in unnamed.most_common()]
    return [*parts, _table(("exercise", "mistake", "students", "the hint they read"), rows)]


def _figure(height: float) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(8, height), layout="constrained")
    return figure, figure.subplots()


def _picture(figure: Figure, alt: str) -> str:
    data = io.BytesIO()
    figure.savefig(data, format="png", dpi=120)
    return f"<img alt='{_text(alt)}' src='data:image/png;base64,{base64.b64encode(data.getvalue()).decode()}'>"


def _table(heads: Sequence[str], rows: Iterable[Sequence]) -> str:
    def cell(value) -> str:
        return f"<td class='number'>{value}</td>" if isinstance(value, int | float) else f"<td>{_text(value)}</td>"

    body = "".join(f"<tr>{''.join(map(cell, row))}</tr>" for row in rows)
    return f"<table><tr>{''.join(f'<th>{_text(head)}</th>' for head in heads)}</tr>{body}</table>"


def _text(value: str) -> str:
    return html.escape(str(value))
