"""The instructor's commands: `python -m autograde COMMAND`."""

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from .grading.cluster import start_fork_server
from .lessons.lesson import CourseError, Lesson, lesson_names, read_lesson

ONE = {"help": 'the lesson\'s name or number, as "03"'}
SEVERAL = {"nargs": "*", "help": 'a lesson\'s name or number, as "03"; all where none is given'}


def find_lessons(words: Sequence[str]) -> list[Lesson]:
    """Lessons by name or by number ("03"); all of them where none is given. Raises LessonError for an unknown one."""
    names = lesson_names()
    return [read_lesson(next((n for n in names if n.split("_")[0] == word), word)) for word in words or names]


def build_command(args: argparse.Namespace) -> None:
    """Make notebooks/ and the answer keys from solutions/."""
    from .lessons.build import build, remove_left_over
    from .lessons.proofread import still_spoken_of, total, update_readme

    for lesson in find_lessons(args.lesson):
        build(lesson)
        update_readme([lesson])
        print(f"built {lesson.name}: exercises: {len(lesson.exercises)}, points: {total(lesson)}")
    for name in remove_left_over():
        places = still_spoken_of(name)
        print(f"removed the key of {name}, which no lesson has any more" + f"; look at {', '.join(places)}" * bool(places))


def prepare_command(args: argparse.Namespace) -> None:
    """Make what nbgrader and its formgrader need in a fresh clone."""
    from .grading.classroom import Course, prepare

    course, lessons = Course.find(), find_lessons(args.lesson)
    prepare(course, lessons)
    print(
        f"lessons in the gradebook, and in the formgrader: {len(lessons)}. Open it with jupyter lab, then Nbgrader, Formgrader"
    )


def bundle_command(args: argparse.Namespace) -> None:
    """Pack what students need, and nothing that gives a solution away."""
    from .lessons.bundle import bundle

    for name in bundle(find_lessons(args.lesson), args.output):
        print(f"left out: {name}")
    print(args.output)


def claims_command(args: argparse.Namespace) -> None:
    """Run the lessons over seeds and processors: does what they say of the runs hold?"""
    from .lessons.claims import check_claims, run_here

    lessons = find_lessons(args.lesson)
    if args.here:
        run_here(lessons[0].name, args.seeds[0])
    elif not check_claims(lessons, args.seeds, args.processors, args.workers):
        raise CourseError("what the text says of a run does not hold in every run: see the table")


def demo_command(args: argparse.Namespace) -> None:
    """Make a class of synthetic students, grade it, and print who got what."""
    from .demo import demo

    demo(args.folder)


def site_command(args: argparse.Namespace) -> None:
    """Make the course's web site in build/site."""
    if args.workers < 1:
        raise CourseError(f"--workers {args.workers}: at least 1 is needed")
    lessons = find_lessons(args.lesson)

    from .site.make import make

    print(make(lessons, args.output.resolve(), workers=args.workers))


def pictures_command(args: argparse.Namespace) -> None:
    """Take the README's screenshots anew."""
    from .site.pictures import take

    for path in take():
        print(path)


def train_command(args: argparse.Namespace) -> None:
    """Train a model whose weights ship with the course, and write them."""
    from vae_helpers.pretrained import SHIPPED

    from .lessons.train_shipped import make

    make(args.model, args.folder or SHIPPED, args.epochs)


def grade_command(args: argparse.Namespace) -> None:
    """Grade a lesson's submissions, and write marks and graded notebooks."""
    if args.workers < 1:
        raise CourseError(f"--workers {args.workers}: at least 1 is needed")
    (lesson,) = find_lessons([args.lesson])
    if args.workers > 1 and args.scheduler is None:
        start_fork_server()  # while this process imports the same

    from .grading.classroom import Course, grade_class, summary

    results = grade_class(
        Course.find(),
        lesson,
        args.students,
        workers=args.workers,
        scheduler=args.scheduler,
        tls=not args.no_tls,
        sandboxed=not args.no_sandbox,
        again=args.again,
    )
    print(summary(results))


def collect_command(args: argparse.Namespace) -> None:
    """Put what Moodle, Canvas or a folder has of everybody where grading finds it."""
    from .grading.classroom import Course
    from .lms.collecting import collect, told
    from .lms.participants import read_participants

    lesson = find_lessons([args.lesson])[0].name if args.lesson else None
    participants = read_participants(args.participants) if args.participants else None
    result = collect(Course.find(), args.source, participants, lesson)
    print(told(result))
    if result.unplaced:
        raise CourseError(f"{len(result.unplaced)} could not be placed, as said above; {args.source} is as it was")


def marks_command(args: argparse.Namespace) -> None:
    """Write a lesson's marks as Canvas, Moodle or a spreadsheet takes them."""
    from .grading.classroom import Course
    from .lms.exporting import write_marks
    from .lms.participants import read_participants

    (lesson,) = find_lessons([args.lesson])
    listed = read_participants(args.listed) if args.listed else None
    path, remarks = write_marks(Course.find(), lesson, args.format, listed, args.output, args.column, args.exercises)
    print("\n".join([*remarks, str(path)]))


def gradescope_command(args: argparse.Namespace) -> None:
    """Pack a lesson's autograder for Gradescope."""
    from .lms.gradescope import autograder

    (lesson,) = find_lessons([args.lesson])
    print(autograder(lesson, args.output or Path("grading", f"gradescope_{lesson.name}.zip")))


def due_command(args: argparse.Namespace) -> None:
    """Set a lesson's due date, or a student's extension; or list all of them."""
    from .grading.classroom import Course, prepare

    course = Course.find()
    deadlines = course.deadlines
    if args.lesson:
        if not args.when:
            raise CourseError('say when, as "2026-12-01 18:00", or none')
        (lesson,) = find_lessons([args.lesson])
        when = None if args.when == ["none"] else deadlines.utc(" ".join(args.when))
        prepare(course, [lesson])
        deadlines.set(lesson.name, when, args.student)
    for lesson, due, extensions in deadlines.all():
        if due or (args.lesson and lesson.startswith(args.lesson)):
            later = "".join(f"; {s} until {deadlines.local(due + more)}" for s, more in sorted(extensions.items()))
            print(f"{lesson}: {deadlines.local(due) if due else 'not due'}{later}")


def replay_command(args: argparse.Namespace) -> None:
    """One student's exercise again: inputs, what came back, what was expected."""
    from .grading.classroom import Course
    from .grading.replay import replay

    print(replay(Course.find(), args.student, args.exercise, sandboxed=not args.no_sandbox))


def report_command(args: argparse.Namespace) -> None:
    """A page of what the class got wrong in a lesson, or of all lessons together."""
    from .grading.classroom import Course
    from .reports.lesson_report import write_report
    from .reports.overview import write_overview

    course, lessons = Course.find(), find_lessons([args.lesson] if args.lesson else [])
    folder = course.root / "grading" / "reports"
    if args.lesson:
        print(write_report(course, lessons[0], args.output or folder / f"{lessons[0].name}.html"))
    else:
        print(write_overview(course, lessons, args.output or folder / "index.html"))


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit status: 0, or 1 after one line that says what was wrong; 130 where it was interrupted.

    (argparse itself ends with 2.)
    """
    parser = argparse.ArgumentParser(prog="python -m autograde", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def add(run: Callable[[argparse.Namespace], None]) -> argparse.ArgumentParser:
        """A command that is called as its function is, and whose help is that function's docstring."""
        command = commands.add_parser(run.__name__.removesuffix("_command"), help=run.__doc__, description=run.__doc__)
        command.set_defaults(run=run)
        return command

    command = add(build_command)
    command.add_argument("lesson", **SEVERAL)
    command = add(prepare_command)
    command.add_argument("lesson", **SEVERAL)
    command = add(bundle_command)
    command.add_argument("lesson", **SEVERAL)
    command.add_argument("--output", type=Path, default=Path("grading", "vae-course.zip"), metavar="FILE.zip")
    command = add(claims_command)
    command.add_argument("lesson", **SEVERAL)
    command.add_argument(
        "--seeds", nargs="+", type=int, default=[0, 1, 2], help="added, times 1000, to every seed in the text"
    )
    command.add_argument("--processors", nargs="+", default=["AVX2", "SSE4"], help="what PyTorch is to take this one for")
    command.add_argument("--workers", type=int, default=1, help="runs at a time")
    command.add_argument("--here", action="store_true", help=argparse.SUPPRESS)  # what each run's process is told
    command = add(demo_command)
    command.add_argument("--folder", default="grading/demo", help="where the class, the feedback and the marks are written")
    command = add(site_command)
    command.add_argument("lesson", **SEVERAL)
    command.add_argument("--output", type=Path, default=Path("build", "site"), metavar="FOLDER")
    command.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="lessons that are run at a time")
    command = add(pictures_command)
    command = add(train_command)
    models = "explorer|classifier|mlp_vae|conv_vae"
    command.add_argument("model", metavar=models, help="each takes a few minutes, mlp_vae half an hour")
    command.add_argument("--epochs", type=float, help="passes over MNIST; by default as many as the shipped one had")
    command.add_argument("--folder", type=Path, help="where its files are written; by default vae_helpers/shipped")
    command = add(grade_command)
    command.add_argument("lesson", **ONE)
    command.add_argument("--students", nargs="+", metavar="STUDENT", help="only these")
    command.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="processes on this machine")
    command.add_argument(
        "--scheduler", metavar="ADDRESS", help="a Dask scheduler, as tls://host:8786, in place of --workers"
    )
    command.add_argument(
        "--no-tls", action="store_true", help="reach it by tcp://, too, though whoever else reaches it runs code as you"
    )
    command.add_argument("--again", action="store_true", help="grade also what has marks already")
    command.add_argument(
        "--no-sandbox", action="store_true", help="run student code with your own rights; recorded with the marks"
    )
    command = add(collect_command)
    command.add_argument("source", type=Path, metavar="FILE.zip", help="the archive as it was downloaded, or a folder")
    command.add_argument("--participants", type=Path, metavar="FILE.csv", help="who is who: the platform's own list")
    command.add_argument("--lesson", help='what all of it is, as "03"; by default, what the notebooks say')
    command = add(marks_command)
    command.add_argument("lesson", **ONE)
    command.add_argument("--format", choices=("csv", "canvas", "moodle"), default="csv")
    command.add_argument(
        "--from", dest="listed", type=Path, metavar="FILE.csv", help="Canvas's gradebook, Moodle's worksheet"
    )
    command.add_argument("--column", help="the assignment's in that file; by default the lesson's name, and Moodle's Grade")
    command.add_argument("--exercises", action="store_true", help="one column for each exercise, too")
    command.add_argument("--output", type=Path, metavar="FILE", help="by default grading/exports/LESSON.FORMAT.csv")
    command = add(gradescope_command)
    command.add_argument("lesson", **ONE)
    command.add_argument("--output", type=Path, metavar="FILE.zip", help="by default grading/gradescope_LESSON.zip")
    command = add(due_command)
    command.add_argument("lesson", nargs="?", help='the lesson\'s name or number, as "03"')
    command.add_argument("when", nargs="*", help='in local time, as 2026-12-01 18:00 (by default 23:59); or "none"')
    command.add_argument("--student", help="for this student alone: an extension")
    command = add(replay_command)
    command.add_argument("student")
    command.add_argument("exercise", help='its name, as "gaussian_kl"')
    command.add_argument("--no-sandbox", action="store_true", help="run student code with your own rights")
    command = add(report_command)
    command.add_argument("lesson", nargs="?", help='the lesson\'s name or number, as "03"; all lessons where none is given')
    command.add_argument("--output", type=Path, metavar="FILE", help="by default grading/reports/LESSON.html, or index.html")
    args = parser.parse_args(argv)
    try:
        args.run(args)
    except (CourseError, OSError) as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        saved = " What was graded is saved: the same command goes on from there." if args.run is grade_command else ""
        print(f"\nstopped.{saved}", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
