"""The widget behind the explorers, in the browser: explorer.js and explorer.css beside this file. Imported when one is opened."""

from pathlib import Path

import anywidget
from traitlets import Bytes, Float, Int, List, Unicode

HERE = Path(__file__).parent


class Live(anywidget.AnyWidget):
    """Named sliders and menus, and a picture that follows them; or a map, and a picture of the place on it that one points at.

    The browser sets `places`; whoever made the widget observes them and answers with `picture`, `alt` and `words`.
    """

    _esm = HERE / "explorer.js"
    _css = HERE / "explorer.css"

    controls = List().tag(sync=True)  # of each: its name, what its values are called, and whether they are a menu
    places = List(Int()).tag(sync=True)  # of each control: which of its values is set
    picture = Bytes(b"").tag(sync=True)  # a PNG file
    alt = Unicode("").tag(sync=True)
    words = Unicode("").tag(sync=True)  # below the picture; where nothing can be drawn, why
    caption = Unicode("").tag(sync=True)
    static = Unicode("").tag(sync=True)  # the id of the figure that stands there where no kernel runs
    map = Bytes(b"").tag(sync=True)  # a PNG file: the first control runs along it to the right, the second upwards
    map_alt = Unicode("").tag(sync=True)
    side = Float(0.0).tag(sync=True)  # of a picture beside a map, in the screen's pixels
