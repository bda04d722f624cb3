"""The formgrader in a fresh clone: all lessons are listed, and no page logs an error."""

import contextlib
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from autograde.grading.classroom import Course, prepare
from autograde.lessons.lesson import ROOT, read_lesson

LESSONS = ["00_start_here", "03_kl_divergence"]
PAGES = ("", "/manage_assignments", "/gradebook", "/manage_students", "/manage_submissions/00_start_here")
LISTS = ("assignments", "students", "notebooks/00_start_here", "submissions/00_start_here")


def get(url: str) -> str:
    with urllib.request.urlopen(url, timeout=60) as answer:
        return answer.read().decode()


@contextlib.contextmanager
def serving(folder: Path, program: str = "server", *options: str) -> Iterator[str]:
    """The address of a Jupyter server with the formgrader of the course in `folder`; what it prints goes to the file log there.

    program: "lab" for JupyterLab, or "server" for what has no page of its own. options: more of its own.
    """
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    server = f"http://127.0.0.1:{port}"
    # Settings of this machine's user are left out.
    environment = os.environ | {"JUPYTER_CONFIG_DIR": str(folder / "settings"), "JUPYTER_DATA_DIR": str(folder / "data")}
    extension = "--ServerApp.jpserver_extensions=nbgrader.server_extensions.formgrader=True"
    usual = [f"--port={port}", "--no-browser", "--IdentityProvider.token=", "--ServerApp.allow_root=True", extension]
    command = [sys.executable, "-m", "jupyter", program, f"--ServerApp.root_dir={folder}", *usual, *options]
    with (folder / "log").open("w") as log:
        started = subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=subprocess.STDOUT)
    try:
        wait_for(server, started, folder / "log")
        yield server
    finally:
        started.terminate()
        started.wait()


def test_a_fresh_clone_lists_its_lessons_and_no_page_logs_an_error(tmp_path):
    shutil.copy(ROOT / "nbgrader_config.py", tmp_path)
    shutil.copytree(ROOT / "notebooks" / LESSONS[0], tmp_path / "notebooks" / LESSONS[0])
    prepare(Course.find(tmp_path), [read_lesson(name) for name in LESSONS])
    with serving(tmp_path) as server:
        for page in PAGES:
            get(f"{server}/formgrader{page}")
        listed = {what: json.loads(get(f"{server}/formgrader/api/{what}")) for what in LISTS}
        said = (tmp_path / "log").read_text()
    assert [lesson["name"] for lesson in listed["assignments"]] == LESSONS
    assert all(lesson["releaseable"] and lesson["max_score"] > 0 for lesson in listed["assignments"])
    assert [line for line in said.splitlines() if re.match(r"\[[EC] ", line)] == []


def wait_for(server: str, started: subprocess.Popen, log: Path) -> None:
    while started.poll() is None:
        try:
            get(f"{server}/api")
            return
        except OSError:
            time.sleep(0.2)
    raise AssertionError(log.read_text())
