"""nbgrader in a student's server on the hub."""

import os

c = get_config()  # noqa: F821 (nbgrader defines it)

c.CourseDirectory.course_id = "vae"
c.Exchange.root = os.environ.get("NBGRADER_EXCHANGE", "/srv/exchange")
c.Authenticator.plugin_class = "nbgrader.auth.JupyterHubAuthPlugin"
