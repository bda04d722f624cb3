"""Answer keys hold on other processors: each one's key, like the committed one, names every mistake and passes whatever is right there."""

import os
import pickle
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from autograde.catalogue import Exercise, load_all
from autograde.lessons.claims import PROCESSORS
from autograde.lessons.lesson import ROOT
from autograde.lessons.rounding import MANY, observe_elsewhere
from vae_helpers.checks import PUBLIC_SEED, answer_key, observe
from vae_helpers.checks.observation import Observation, leave_undecided, undecided_places
from vae_helpers.checks.verdict import compare

NEW = MANY + 1  # an odd one, which has no subnormal numbers either
# The name of each place where all is observed, what its process is told, and the arithmetic there: its own, or one by which no key was
# built. Two threads that spin while they wait for each other take several times as long where other tests run.
PLACES = {
    "this processor, two threads": ({"OMP_NUM_THREADS": "2", "OMP_WAIT_POLICY": "PASSIVE"}, None),
    **{f"{name}, one thread": ({"OMP_NUM_THREADS": "1", **told}, None) for name, told in PROCESSORS.items()},
    f"arithmetic {NEW}": ({"OMP_NUM_THREADS": "1"}, NEW),
}
Key = tuple[Observation, list[tuple[str, str, Observation]]]


@pytest.fixture(scope="session")
def seen_so_far(tmp_path_factory, worker_id) -> Path:
    """A folder for what was observed in each place, which pytest's processes share."""
    folder = tmp_path_factory.getbasetemp()
    folder = (folder if worker_id == "master" else folder.parent) / "observed"
    folder.mkdir(exist_ok=True)
    return folder


@pytest.mark.parametrize("place", PLACES)
def test_keys_hold_on(place, seen_so_far):
    """The committed keys here; on a processor, its own here and wherever else was looked by now, and theirs here: every two meet."""
    here = observed_on(place, seen_so_far)
    assert list(faults({name: answer_key(name) for name in here}, here)) == []
    if PLACES[place][1] is not None:
        return  # coarser than any processor: two of them differ by more than tolerances are made for
    for path in seen_so_far.glob("*.pickle"):
        there = pickle.loads(path.read_bytes())
        assert list(faults(keys_of(here), there)) == [], f"keys of {place}, used on {path.stem}"
        if path.stem != place:
            assert list(faults(keys_of(there), here)) == [], f"keys of {path.stem}, used on {place}"


def observed_on(place: str, folder: Path) -> dict[str, dict[str, Observation]]:
    """By exercise and name, what a process in that place sees of the reference, the variants and the mistakes; leaves it in the folder."""
    environment, number = PLACES[place]
    made, path = folder / f"{place}.part", folder / f"{place}.{'pickle' if number is None else 'arithmetic'}"
    command = [sys.executable, "-W", "ignore", __file__, str(made), str(number or "")]
    done = subprocess.run(command, cwd=ROOT, env={**os.environ, **environment}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    made.rename(path)  # whole, for the process that reads it
    return pickle.loads(path.read_bytes())


def keys_of(seen: dict[str, dict[str, Observation]]) -> dict[str, Key]:
    """The keys that a build there would write. What rounding decides is looked up, since finding it takes twelve more arithmetics."""
    keys = {}
    for name, found in seen.items():
        _, mistakes = answer_key(name)
        undecided = [(mistake, hint, undecided_places(known)) for mistake, hint, known in mistakes]
        keys[name] = (
            found["reference"],
            [(mistake, hint, leave_undecided(found[f"mistake {mistake}"], places)) for mistake, hint, places in undecided],
        )
    return keys


def faults(keys: dict[str, Key], seen: dict[str, dict[str, Observation]]) -> Iterator[str]:
    """What is wrong with keys where this was seen."""
    for exercise, found in seen.items():
        for name, facts in found.items():
            verdict = compare(exercise, facts, *keys[exercise])
            if name.startswith("mistake "):
                if verdict.mistake != name.removeprefix("mistake "):
                    yield f"{exercise}: the {name} is not named: {verdict}"
            elif not verdict.passed and not (name == "reference" and load_all()[exercise].stand_in):
                yield f"{exercise}: the {name} is refused: {verdict}"


def look(exercise: Exercise, number: int | None) -> dict[str, Observation]:
    """What the probe sees here of the reference and of each variant and mistake, in the arithmetic of this number if one is given."""

    def see(implementation) -> Observation:
        if number is None:
            return observe(exercise.name, implementation, PUBLIC_SEED)
        return observe_elsewhere(exercise.name, implementation, PUBLIC_SEED, number)

    return {
        "reference": see(exercise.reference),
        **{f"variant {name}": see(implementation) for name, implementation in exercise.variants.items()},
        **{f"mistake {name}": see(make()) for name, (_, make) in exercise.mistakes.items()},
    }


if __name__ == "__main__":
    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))  # by itself MKL counts cores, OpenMP their hardware threads
    _, file, number = sys.argv
    seen = {name: look(exercise, int(number) if number else None) for name, exercise in load_all().items()}
    Path(file).write_bytes(pickle.dumps(seen))
