"""The formgrader in a fresh clone: all lessons are listed, and no page logs an error."""

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

from autograde.classroom import Course, prepare
from autograde.lesson import ROOT, read_lesson

LESSONS = ["00_start_here", "03_kl_divergence"]
PAGES = ("", "/manage_assignments", "/gradebook", "/manage_students", "/manage_submissions/00_start_here")
LISTS = ("assignments", "students", "notebooks/00_start_here", "submissions/00_start_here")


def get(url: str) -> str:
    with urllib.request.urlopen(url, timeout=60) as answer:
        return answer.read().decode()


def test_a_fresh_clone_lists_its_lessons_and_no_page_logs_an_error(tmp_path):
    shutil.copy(ROOT / "nbgrader_config.py", tmp_path)
    shutil.copytree(ROOT / "notebooks" / LESSONS[0], tmp_path / "notebooks" / LESSONS[0])
    prepare(Course.find(tmp_path), [read_lesson(name) for name in LESSONS])
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    server = f"http://127.0.0.1:{port}"
    # Settings of this machine's user are left out.
    environment = os.environ | {"JUPYTER_CONFIG_DIR": str(tmp_path / "settings"), "JUPYTER_DATA_DIR": str(tmp_path / "data")}
    extensions = [f"--ServerApp.jpserver_extensions={name}=True" for name in ("nbgrader.server_extensions.formgrader",)]
    options = [f"--port={port}", "--no-browser", "--IdentityProvider.token=", "--ServerApp.allow_root=True", *extensions]
    command = [sys.executable, "-m", "jupyter", "server", f"--ServerApp.root_dir={tmp_path}", *options]
    with (tmp_path / "log").open("w") as log:
        started = subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=log, stderr=subprocess.STDOUT)
    try:
        wait_for(server, started, tmp_path / "log")
        for page in PAGES:
            get(f"{server}/formgrader{page}")
        listed = {what: json.loads(get(f"{server}/formgrader/api/{what}")) for what in LISTS}
        said = (tmp_path / "log").read_text()
    finally:
        started.terminate()
        started.wait()
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
