"""The course on a JupyterHub: who may do what, where the exchange is, and the server that instructors share.

Read it with `load_subconfig("…/hub/jupyterhub_config.py")` in your own jupyterhub_config.py, which says how people log in and how
their servers are started. How all of it fits together is in the README, "On a JupyterHub".
"""

import os
import sys

c = get_config()  # noqa: F821 (JupyterHub defines it)

COURSE = "vae"  # as in nbgrader_config.py
ROOT = os.environ.get("VAE_COURSE", "/srv/vae")  # this repository, as the instructors' server sees it
EXCHANGE = os.environ.get("NBGRADER_EXCHANGE", "/srv/exchange")  # a volume that all servers see
INSTRUCTORS = os.environ.get("VAE_INSTRUCTORS", "").split()
STUDENTS = os.environ.get("VAE_STUDENTS", "").split()

c.Authenticator.allowed_users = {*INSTRUCTORS, *STUDENTS}
# nbgrader goes by these names: formgrade-COURSE grades, nbgrader-COURSE takes part.
c.JupyterHub.load_groups = {f"formgrade-{COURSE}": {"users": INSTRUCTORS}, f"nbgrader-{COURSE}": {"users": STUDENTS}}
c.JupyterHub.load_roles = [
    {
        "name": f"formgrade-{COURSE}",
        "groups": [f"formgrade-{COURSE}"],
        "scopes": [f"access:services!service={COURSE}", "list:services", f"read:services!service={COURSE}"],
    },
    # What a server may do for its owner: nbgrader asks the hub for the courses that one takes part in.
    {"name": "server", "scopes": ["inherit"]},
]
# One formgrader for all instructors, in the course's folder, where nbgrader_config.py is.
c.JupyterHub.services = [
    {
        "name": COURSE,
        "url": os.environ.get("VAE_SERVICE", "http://127.0.0.1:9999"),
        "command": [sys.executable, "-m", "jupyterhub.singleuser"],
        "cwd": ROOT,
        "environment": {"NBGRADER_EXCHANGE": EXCHANGE, "JUPYTERHUB_DEFAULT_URL": "/lab"},
    }
]
if grader := os.environ.get("VAE_GRADER"):  # an account of its own; otherwise the hub's
    c.JupyterHub.services[0]["user"] = grader

# In a student's server: where the exchange is, and which course. JUPYTER_CONFIG_PATH is read beside each student's own settings.
c.Spawner.environment = {
    "NBGRADER_EXCHANGE": EXCHANGE,
    "JUPYTER_CONFIG_PATH": os.environ.get("VAE_STUDENT_CONFIG", os.path.join(ROOT, "autograde", "hub", "student")),
}
