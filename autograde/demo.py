"""A class of synthetic students: everything that the catalogue knows, written into notebooks, handed in and graded."""

import ast
import inspect
import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent, shorten
from types import ModuleType
from typing import Any

import nbformat
from nbformat.v4 import new_code_cell
from nbgrader.api import Gradebook

from .catalogue import Exercise, find_exercise
from .catalogue.recurring import Recurring
from .grading.classroom import Course, grade_class
from .grading.marks import Mark, State
from .lessons.build import write_source
from .lessons.lesson import BEGIN, END, ROOT, Cell, Lesson, LessonError, lesson_of, read_lesson

LESSONS = ("03_kl_divergence", "04_reparameterization")
HALF_FINISHED, UNTOUCHED, SMALLEST_CLASS = 2, 2, 30
MARKER = "made-by-autograde-demo"  # only a folder that holds this file is ever replaced


@dataclass(frozen=True)
class Answer:
    """What a student writes for one exercise; None leaves the cell as it was released. `mistake` is the one planted in it."""

    source: str | None
    mistake: str | None = None


@dataclass(frozen=True)
class Student:
    """`answers`: lesson → exercise → answer."""

    name: str
    kind: str  # "right", "mistakes", "half finished" or "untouched"
    answers: dict[str, dict[str, Answer]]


def demo(folder: str | Path, lessons: Sequence[str] = LESSONS) -> None:
    """Make a class in a course folder of its own, grade it, print what each student got.

    Leaves feedback, marks.csv and the gradebook in `folder`, where nbgrader's commands and formgrader work too.
    Raises LessonError where a submission is not judged as it was planted.
    """
    folder = Path(folder).resolve()
    chosen = [read_lesson(name) for name in lessons]
    students = make_class(chosen)
    make_course(folder, chosen, students)
    course = Course.find(folder)
    grade_course(course, chosen)
    report(course, chosen, students)


# --- Who writes what --------------------------------------------------------------------------------------------------


def make_class(lessons: Sequence[Lesson]) -> list[Student]:
    """At least 30 students, among whom every catalogued mistake is made once and every correct variant is written."""
    exercises = {lesson.name: [find_exercise(name) for name in lesson.exercises] for lesson in lessons}
    correct = {exercise.name: correct_answers(exercise) for several in exercises.values() for exercise in several}
    mistaken = max(len(exercise.mistakes) for several in exercises.values() for exercise in several)
    right = max(len(answers) for answers in correct.values())
    right = max(right, SMALLEST_CLASS - mistaken - HALF_FINISHED - UNTOUCHED)
    kinds = ["right"] * right + ["mistakes"] * mistaken + ["half finished"] * HALF_FINISHED + ["untouched"] * UNTOUCHED
    written = Counter()  # correct answers so far, by exercise: each student writes the next variant
    students = []
    for number, kind in enumerate(kinds, 1):
        answers = {name: {} for name in exercises}
        for name, several in exercises.items():
            turn = 0  # the mistakes of a lesson go round the class, one student after the other
            for place, exercise in enumerate(several):
                mistakes = list(exercise.mistakes)
                mine = (number - turn) % mistaken
                turn += len(mistakes)
                if kind == "untouched" or (kind == "half finished" and place >= len(several) / 2):
                    answer = Answer(None)
                elif kind == "mistakes" and mine < len(mistakes):
                    answer = mistaken_answer(exercise, mistakes[mine])
                else:
                    several_ways = correct[exercise.name]
                    answer = several_ways[written[exercise.name] % len(several_ways)]
                    written[exercise.name] += 1
                answers[name][exercise.name] = answer
        students.append(Student(f"student_{number:02}", kind, answers))
    return students


def correct_answers(exercise: Exercise) -> list[Answer]:
    """The reference, and each variant."""
    variants = [source_of(implementation, exercise.name) for implementation in exercise.variants.values()]
    return [Answer(reference_source(exercise.cell)), *map(Answer, variants)]


def mistaken_answer(exercise: Exercise, mistake: str) -> Answer:
    """A cell with one of the exercise's known mistakes in it."""
    if mistake in exercise.edited_texts:
        return Answer(reference_source(exercise.cell).replace(*exercise.edited_texts[mistake]), mistake)
    if mistake in exercise.made:
        return Answer(recurring_source(exercise.made[mistake], exercise.name), mistake)
    return Answer(source_of(exercise.mistakes[mistake][1](), exercise.name), mistake)


def reference_source(cell: Cell) -> str:
    """The cell as a student who has written the reference would hand it in."""
    return "\n".join(line for line in cell.source.splitlines() if BEGIN not in line and END not in line)


def source_of(implementation: Any, name: str) -> str:
    """Source text that defines `implementation` as `name`, with the imports and helpers that it needs."""
    if not callable(implementation):
        return f"{name} = {implementation!r}"
    source = dedent(inspect.getsource(implementation))
    definition = ast.get_source_segment(source, ast.parse(source).body[0])  # without its decorators
    if inspect.isfunction(implementation):  # one that another function made has that one's names, too
        for free, value in inspect.getclosurevars(implementation).nonlocals.items():
            definition = re.sub(rf"\b{free}\b", value.__name__, definition)
    definition = re.sub(rf"^(def|class) {implementation.__name__}\b", rf"\1 {name}", definition)
    return "\n\n".join([*surroundings(definition, sys.modules[implementation.__module__]), definition])


def recurring_source(mistake: Recurring, name: str) -> str:
    """Source text that makes a mistake that many exercises share of the right answer."""
    made = f'of_result({mistake.name}, reference("{name}"))'
    if mistake.argument:
        made = f'of_argument({mistake.name}, reference("{name}"), "{mistake.argument}")'
    return "\n\n".join([*surroundings(made, sys.modules[Recurring.__module__]), f"{name} = {made}"])


def surroundings(source: str, module: ModuleType) -> list[str]:
    """The module's imports, and those of its definitions that `source` uses, as text."""
    text = inspect.getsource(module)
    imports, definitions = [], {}
    for node in ast.parse(text).body:
        if isinstance(node, ast.Import) or (isinstance(node, ast.ImportFrom) and not node.level):
            imports.append(ast.unparse(node))
        elif isinstance(node, ast.FunctionDef | ast.ClassDef):
            definitions[node.name] = node
        elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            definitions[node.targets[0].id] = node
    needed, looked_at = set(), [source]
    while looked_at:
        used = {node.id for node in ast.walk(ast.parse(looked_at.pop())) if isinstance(node, ast.Name)}
        for name in used & set(definitions) - needed:
            needed.add(name)
            looked_at.append(ast.get_source_segment(text, definitions[name]))
    in_order = [ast.get_source_segment(text, node) for name, node in definitions.items() if name in needed]
    return ["\n".join(imports), *in_order]


def reference_cell(sources: Sequence[str]) -> str | None:
    """A cell that defines `reference`, as mistakes in the catalogue call it, where one of the sources does."""
    names = sorted({name for source in sources for name in re.findall(r'\breference\("(\w+)"\)', source)})
    if not names:
        return None
    texts = {}
    for name in names:
        cells = lesson_of(name).cells
        texts[name] = "\n\n".join(reference_source(cell) for cell in cells if cell.given or cell.exercise)
    return f"""REFERENCES = {texts!r}


def reference(name, known={{}}):
    if name not in known:
        namespace = {{"__name__": "__main__"}}
        exec(REFERENCES[name], namespace)
        known[name] = namespace[name]
    return known[name]
"""


# --- The course -------------------------------------------------------------------------------------------------------


def make_course(folder: Path, lessons: Sequence[Lesson], students: Sequence[Student]) -> None:
    """A course folder of the repository's layout, with the lessons released and every student's notebooks handed in."""
    if folder.exists() and any(folder.iterdir()):
        if not (folder / MARKER).exists():
            raise LessonError(f"{folder} is neither empty nor an earlier demonstration: choose another folder")
        shutil.rmtree(folder)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / MARKER).touch()
    shutil.copy(ROOT / "nbgrader_config.py", folder)
    for lesson in lessons:
        write_source(lesson, folder / "build" / "source")
        finish(nbgrader(folder, f"generate_assignment {lesson.name}"))
    with Gradebook(*Course.find(folder).database) as book:
        for student in students:
            book.add_student(student.name, last_name=student.name, first_name=student.kind)
    for lesson in lessons:
        released = folder / "notebooks" / lesson.name / f"{lesson.name}.ipynb"
        for student in students:
            notebook = nbformat.read(released, as_version=4)
            write_answers(notebook, student.answers[lesson.name])
            path = folder / "grading" / "submitted" / student.name / lesson.name / released.name
            path.parent.mkdir(parents=True)
            nbformat.write(notebook, path)


def write_answers(notebook: nbformat.NotebookNode, answers: dict[str, Answer]) -> None:
    """Put the answers into their cells, and a cell with `reference` before them where they call it."""
    first = None
    for place, cell in enumerate(notebook.cells):
        answer = answers.get(cell.metadata.get("nbgrader", {}).get("grade_id"))
        if answer:
            first = place if first is None else first
            cell.source = cell.source if answer.source is None else answer.source
    extra = reference_cell([answer.source for answer in answers.values() if answer.source])
    if extra:
        notebook.cells.insert(first, new_code_cell(extra))


def nbgrader(folder: Path, words: str) -> tuple[subprocess.Popen, Path]:
    """Start one of nbgrader's commands; returns it and the file that holds what it prints."""
    log = folder / "logs" / f"{words.replace(' ', '_')}.log"
    log.parent.mkdir(exist_ok=True)
    with log.open("w") as file:
        command = [sys.executable, "-m", "nbgrader", *words.split()]
        return subprocess.Popen(command, cwd=folder, stdout=file, stderr=subprocess.STDOUT), log


def finish(*started: tuple[subprocess.Popen, Path]) -> None:
    """Wait for nbgrader's commands. Raises LessonError with the end of what one printed where it failed."""
    for process, log in started:
        if process.wait():
            raise LessonError(f"{' '.join(process.args[1:])} failed; {log} ends with\n{log.read_text()[-2000:]}")


def grade_course(course: Course, lessons: Sequence[Lesson]) -> None:
    """Grade, write feedback, and export marks.csv."""
    for lesson in lessons:
        grade_class(course, lesson, workers=os.cpu_count() or 1)
    finish(*[nbgrader(course.root, f"generate_feedback {lesson.name}") for lesson in lessons])
    finish(nbgrader(course.root, "export --to marks.csv"))


# --- What came of it --------------------------------------------------------------------------------------------------


def report(course: Course, lessons: Sequence[Lesson], students: Sequence[Student]) -> None:
    """Print a row for each submission, and whether everything planted was recognised; raise LessonError where not."""
    print(f"{'student':<11} {'kind':<14} {'lesson':<22} {'points':>7}  mistakes named")
    wrong, planted = [], 0
    with Gradebook(*course.database) as book:
        for lesson in lessons:
            for student in students:
                submission = book.find_submission(lesson.name, student.name)
                marks = {mark.exercise: mark for mark in course.saved_marks(student.name, lesson.name).exercises}
                named = [mark.mistake for mark in marks.values() if mark.mistake]
                points = f"{submission.score:g}/{submission.max_score:g}"
                print(f"{student.name:<11} {student.kind:<14} {lesson.name:<22} {points:>7}  {', '.join(named)}")
                for exercise, answer in student.answers[lesson.name].items():
                    planted += answer.mistake is not None
                    if not as_planted(answer, marks[exercise]):
                        text = shorten(marks[exercise].message, 300)
                        wrong.append(f"{student.name}, {exercise}, {answer.mistake or 'right'}: {text}")
    print(f"feedback: {course.root / 'grading' / 'feedback'}")
    print(f"marks:    {course.root / 'marks.csv'}")
    named = "yes" if not wrong else "NO"
    print(
        f"{len(students)} students, {len(students) * len(lessons)} submissions, {planted} mistakes planted; every one named: {named}"
    )
    if wrong:
        print("\n".join(wrong))
        raise LessonError(f"not judged as planted, as said above: {len(wrong)}; the first: {wrong[0]}")


def as_planted(answer: Answer, mark: Mark) -> bool:
    """Whether an answer was recognised: a right one passed, a mistake named, an empty cell as not written."""
    if answer.source is None:
        return not mark.written
    return mark.mistake == answer.mistake and (answer.mistake is not None or mark.state == State.PASSED)
