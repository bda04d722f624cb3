"""Every explorer of a lesson, moved through what its controls can be set to, where it stands; and how long it takes to answer."""

import functools
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import vae_helpers
from vae_helpers.checks.recorder import undisturbed
from vae_helpers.live import Live

PLACES = 4  # along each slider


def watch(report: Path) -> None:
    """From now on `from vae_helpers import explore` imports one that is moved, `latent_explorer` too, and each adds a line of JSON
    to the report: [name, seconds of processor time to open, the longest to answer a move]. What fails to draw stops the cell."""
    made: list[Live] = []
    start = Live.__init__
    Live.__init__ = lambda live, **state: made.append(live) or start(live, **state)

    def moved(explorer: Callable) -> Callable:
        @functools.wraps(explorer)
        def explore(drawn, *args, **kwargs):
            before = time.process_time()
            explorer(drawn, *args, **kwargs)
            opened = time.process_time() - before
            with undisturbed(0):  # what the rest of the lesson draws at random stays as it was
                slowest = max(answer(made[-1], places) for places in settings(made[-1]))
            name = getattr(drawn, "__name__", type(drawn).__name__)
            with Path(report).open("a", encoding="utf-8") as lines:
                lines.write(json.dumps([name, opened, slowest]) + "\n")

        return explore

    vae_helpers.explore, vae_helpers.latent_explorer = moved(vae_helpers.explore), moved(vae_helpers.latent_explorer)


def answer(live: Live, places: list[int]) -> float:
    """Seconds of processor time from a setting to its picture. Raises AssertionError where it can't be drawn."""
    before, live.picture = time.process_time(), b""
    live.places = places
    took = time.process_time() - before
    if not live.picture:
        at = {control["name"]: control["words"][place] for control, place in zip(live.controls, places, strict=True)}
        raise AssertionError(f"at {at}: {live.words}")
    return took


def settings(live: Live) -> Iterator[list[int]]:
    """Every control at each of its places, the others as it opens; all at their first and at their last; and as it opens."""
    first, last = list(live.places), [len(control["words"]) - 1 for control in live.controls]
    all_of_them = [
        [*first[:i], place, *first[i + 1 :]]
        for i, control in enumerate(live.controls)
        for place in (
            range(last[i] + 1) if control["menu"] else sorted({round(last[i] * k / (PLACES - 1)) for k in range(PLACES)})
        )
    ]
    yield from (places for places in [*all_of_them, [0] * len(first), last] if places != first)
    yield first
