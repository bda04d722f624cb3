"""Options: over how many seeds the catalogue's matrix runs, and of which lessons. And one thread a process: there is one a core."""

import os
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

# Before PyTorch is imported, here or in a kernel that a test starts. Threads that share a core with another process wait for each
# other, and spin while they do.
os.environ.setdefault("OMP_NUM_THREADS", "1")


def pytest_addoption(parser):
    parser.addoption(
        "--seeds", type=int, default=5, help="seeds for each mistake and variant of the catalogue (default: %(default)s)"
    )
    parser.addoption(
        "--lesson",
        help="of catalogue, references and stubs only this lesson's (03), or those that differ from main (changed)",
    )


def pytest_xdist_auto_num_workers(config):
    """One more than there are cores: a fifth of the suite waits, for time limits, browsers and children."""
    return len(os.sched_getaffinity(0)) + 1 if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1) + 1


def pytest_collection_modifyitems(config, items):
    if config.getoption("--lesson"):
        from autograde.lessons.lesson import read_lesson

        wanted = numbers(config.getoption("--lesson"))
        words = {word for name in folders(wanted) for word in (name, *read_lesson(name).exercises)}
        chosen = {id(item) for item in items if concerns(item, wanted, words)}
        config.hook.pytest_deselected(items=[item for item in items if id(item) not in chosen])
        items[:] = [item for item in items if id(item) in chosen]


def concerns(item, wanted: set[str], words: set[str]) -> bool:
    """Whether a test is about the lessons with these numbers, or names and exercises; whether anything is stale concerns all."""
    arguments = item.callspec.params.values() if hasattr(item, "callspec") else ()
    in_file = item.path.stem.rpartition("_")[2] in wanted
    return item.path.stem == "test_build" or in_file or any(isinstance(a, str) and a in words for a in arguments)


def numbers(lesson: str) -> set[str]:
    """The number of the lesson, or of all in whose files something differs from where this branch left main."""
    if lesson != "changed":
        if not folders({lesson[:2]}):
            raise pytest.UsageError(f"no lesson begins with {lesson!r}; say for instance 03")
        return {lesson[:2]}
    base = git("merge-base", "HEAD", "main") or git("merge-base", "HEAD", "origin/main") or ["HEAD"]
    changed = git("diff", "--name-only", base[0]) + git("ls-files", "--others", "--exclude-standard")
    return {
        number for path in changed for number in re.findall(r"(?:^(?:solutions|notebooks)/|lesson_|references_)(\d\d)", path)
    }


def git(*words: str) -> list[str]:
    return subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True).stdout.split()


def folders(numbers: set[str]) -> list[str]:
    return [path.name for path in sorted((ROOT / "solutions").iterdir()) if path.is_dir() and path.name[:2] in numbers]


def pytest_terminal_summary(terminalreporter):
    """What tests measured (`record_property`), which pytest-xdist would swallow if they printed it."""
    for report in terminalreporter.stats.get("passed", []):
        for name, value in report.user_properties:
            terminalreporter.write_line(f"{name}: {value}")


@pytest.fixture(scope="session")
def site(tmp_path_factory) -> Path:
    """The web site of lesson 00 alone; skips where what makes it is not installed."""
    pytest.importorskip("myst_nb", reason='the site is not tested: pip install -e ".[site]"')
    from autograde.lessons.lesson import read_lesson
    from autograde.site.make import make

    return make([read_lesson("00_start_here")], tmp_path_factory.mktemp("site") / "site").parent
