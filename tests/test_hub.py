"""A week on a real JupyterHub: an instructor and two students, each on a server of their own, through the hub's proxy.

It runs as `jovyan`, as in an image of repo2docker, where nbgrader takes the hub's name for a user's.
"""

import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request

import pytest
from test_class import LESSON, NAME, POINTS, WRONG, new_gradebook  # noqa: F401 (a fixture)
from test_exchange import solved

from autograde.grading.classroom import Course, prepare
from autograde.lessons.build import NOTEBOOKS
from autograde.lessons.lesson import ROOT

PROXY = os.environ.get("CONFIGURABLE_HTTP_PROXY") or shutil.which("configurable-http-proxy")
pytest.importorskip("jupyterhub", reason='no hub is run: pip install -e ".[hub]"')
pytestmark = [
    pytest.mark.skipif(PROXY is None, reason="no hub is run: npm install --global configurable-http-proxy"),
    pytest.mark.skipif(shutil.which("bwrap") is None, reason="no hub is run: sudo apt install bubblewrap"),
]
HUB = """
import os
os.environ.update(VAE_COURSE={course!r}, NBGRADER_EXCHANGE={exchange!r}, VAE_INSTRUCTORS="grace", VAE_STUDENTS="ada bob",
                  VAE_SERVICE="http://127.0.0.1:{ports[3]}", VAE_STUDENT_CONFIG={student!r})
load_subconfig({config!r})
c = get_config()
c.JupyterHub.authenticator_class, c.JupyterHub.spawner_class = "dummy", "simple"
c.SimpleLocalProcessSpawner.home_dir_template = {homes!r}
c.JupyterHub.bind_url, c.JupyterHub.hub_port = "http://127.0.0.1:{ports[0]}", {ports[1]}
c.ConfigurableHTTPProxy.command, c.ConfigurableHTTPProxy.api_url = {proxy!r}, "http://127.0.0.1:{ports[2]}"
# The test acts for everybody.
c.JupyterHub.services.append({{"name": "test", "api_token": {token!r}}})
c.JupyterHub.load_roles.append({{"name": "test", "services": ["test"], "scopes": ["admin:users", "admin:servers", "tokens"]}})
c.Spawner.environment["JUPYTER_CONFIG_DIR"] = {settings!r}
c.JupyterHub.services[0]["environment"].update(JUPYTER_CONFIG_DIR={settings!r}, HOME={settings!r})
c.Spawner.http_timeout = c.Spawner.start_timeout = 300
"""
TOKEN = "a-token-of-the-tests-own"


def ask(url: str, token: str, method: str = "GET", **form: str) -> dict | list | None:
    data = json.dumps({}).encode() if method == "POST" and not form else urllib.parse.urlencode(form).encode() or None
    request = urllib.request.Request(url, data, {"Authorization": f"token {token}"}, method=method)
    with urllib.request.urlopen(request, timeout=300) as answer:
        text = answer.read()
    return json.loads(text) if text else None


def free_ports(n: int) -> list[int]:
    with contextlib.ExitStack() as held:
        return [held.enter_context(socket.create_server(("127.0.0.1", 0))).getsockname()[1] for _ in range(n)]


def wait_for(what, started: subprocess.Popen, log) -> None:
    while True:
        try:
            if what():
                return
        except (OSError, urllib.error.HTTPError):
            pass
        assert started.poll() is None, log.read_text()[-3000:]
        time.sleep(0.3)


@pytest.fixture
def course(tmp_path, new_gradebook) -> Course:  # noqa: F811
    root = tmp_path / "course"
    (root / "grading").mkdir(parents=True)
    shutil.copy(ROOT / "nbgrader_config.py", root)
    shutil.copy(new_gradebook, root / "grading")
    shutil.copytree(NOTEBOOKS / LESSON.name, root / "notebooks" / LESSON.name)
    prepare(Course.find(root), [LESSON])
    return Course.find(root)


@pytest.fixture
def hub(tmp_path, course):
    """The hub's address, and a function that gives somebody's token."""
    for folder in ("settings", "exchange", "homes/ada", "homes/bob", "hub"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "exchange").chmod(0o777)
    (tmp_path / "settings" / "jupyter_server_config.py").write_text("c.ServerApp.allow_root = True\n")
    (tmp_path / "passwd").write_text(f"jovyan:x:{os.getuid()}:{os.getgid()}::{tmp_path}:/bin/sh\n")
    ports = free_ports(4)
    values = {
        "course": str(course.root), "exchange": str(tmp_path / "exchange"), "student": str(ROOT / "autograde" / "hub" / "student"),
        "config": str(ROOT / "autograde" / "hub" / "jupyterhub_config.py"), "homes": f"{tmp_path}/homes/{{username}}", "proxy": [PROXY],
        "token": TOKEN, "settings": str(tmp_path / "settings"),
    }  # fmt: skip
    (tmp_path / "hub" / "jupyterhub_config.py").write_text(HUB.format(ports=ports, **values))
    inside = ["bwrap", "--dev-bind", "/", "/", "--ro-bind", str(tmp_path / "passwd"), "/etc/passwd", "--die-with-parent"]
    inside += ["--cap-add", "ALL"] if os.getuid() == 0 else []
    log = tmp_path / "hub" / "log"
    with log.open("w") as out:
        command = [*inside, sys.executable, "-m", "jupyterhub"]
        started = subprocess.Popen(command, cwd=tmp_path / "hub", stdout=out, stderr=subprocess.STDOUT)
    address = f"http://127.0.0.1:{ports[0]}"
    try:
        wait_for(lambda: ask(f"{address}/hub/api/", TOKEN), started, log)

        def token(name: str, server: bool = True) -> str:
            users = f"{address}/hub/api/users/{name}"
            if server:
                ask(f"{users}/server", TOKEN, "POST")
                wait_for(lambda: (ask(users, TOKEN)["servers"].get("") or {}).get("ready"), started, log)
            return ask(f"{users}/tokens", TOKEN, "POST")["token"]

        yield address, token
    finally:
        started.terminate()
        started.wait()
        print(log.read_text()[-6000:])


def test_a_week_on_a_hub(hub, course, tmp_path):
    address, token = hub
    students = {name: token(name) for name in ("ada", "bob")}
    grace = token("grace", server=False)
    grading = f"{address}/services/vae/formgrader/api"

    def grades(what: str) -> None:
        done = ask(f"{grading}/{what}", grace, "POST")
        assert done["success"], done

    def does(name: str, what: str) -> None:
        done = ask(
            f"{address}/user/{name}/assignments/{what}", students[name], "POST", course_id="vae", assignment_id=LESSON.name
        )
        assert done["success"], done

    with pytest.raises(urllib.error.HTTPError) as refused:  # roles: a student does not get into the instructors' server
        ask(f"{grading}/assignments", students["ada"])
    assert refused.value.code == 403
    with pytest.raises(urllib.error.HTTPError) as refused:
        ask(f"{address}/user/bob/api/contents", students["ada"])
    assert refused.value.code == 403
    with pytest.raises(urllib.error.HTTPError) as refused:
        ask(f"{address}/user/ada/formgrader/api/status", students["ada"])
    assert refused.value.code == 404
    assert [lesson["name"] for lesson in ask(f"{grading}/assignments", grace)] == [LESSON.name]
    grades(f"assignment/{LESSON.name}/release")
    for name, wrong in {"ada": {}, "bob": {"bits_per_dim": WRONG}}.items():
        assert ask(f"{address}/user/{name}/courses", students[name]) == {"success": True, "value": ["vae"]}
        does(name, "fetch")
        path = tmp_path / "homes" / name / LESSON.name / NAME
        path.write_bytes(solved(path, LESSON, **wrong))
        does(name, "submit")
    grades(f"assignment/{LESSON.name}/collect")
    for name in students:
        grades(f"submission/{LESSON.name}/{name}/autograde")
    for what in ("generate_feedback", "release_feedback"):
        grades(f"assignment/{LESSON.name}/{what}")
    scores = {row["student"]: row["score"] for row in ask(f"{grading}/submissions/{LESSON.name}", grace)}
    assert scores["ada"] == POINTS > scores["bob"] > 0
    for name in students:
        does(name, "fetch_feedback")
        (page,) = (tmp_path / "homes" / name / LESSON.name / "feedback").rglob("*.html")
        text = page.read_text(encoding="utf-8")
        assert ("These are nats per dimension." in text) == (name == "bob")
