"""Answer keys hold on other processors: the same key is built there, and it names every mistake and passes whatever is right."""

import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

from autograde.catalogue import Exercise, load_all
from autograde.lesson import ROOT
from autograde.rounding import MANY, observe_elsewhere
from vae_helpers.checks import PUBLIC_SEED, answer_key, observe
from vae_helpers.checks.verdict import compare

# Older processors, by what PyTorch, its convolutions, its linear algebra and NumPy are told to do without.
# Elsewhere than on x86-64 these words change nothing.
PROCESSORS = {
    "this one, two threads": {"OMP_NUM_THREADS": "2"},
    "AVX2, one thread": {
        "OMP_NUM_THREADS": "1",
        "ATEN_CPU_CAPABILITY": "avx2",
        "ONEDNN_MAX_CPU_ISA": "AVX2",
        "MKL_CBWR": "AVX2",
        "OPENBLAS_CORETYPE": "Haswell",
    },
    "no vectors, one thread": {
        "OMP_NUM_THREADS": "1",
        "ATEN_CPU_CAPABILITY": "default",
        "ONEDNN_MAX_CPU_ISA": "SSE41",
        "MKL_CBWR": "COMPATIBLE",
        "OPENBLAS_CORETYPE": "Nehalem",
    },
}
# Arithmetics by which no key was built.
OTHERS = range(MANY + 1, MANY + 3)


@pytest.mark.parametrize("processor", PROCESSORS)
def test_keys_hold_on(processor):
    assert faults_on("processor", PROCESSORS[processor]) == ""


@pytest.mark.parametrize("number", OTHERS)
def test_keys_hold_in_an_arithmetic_that_they_were_not_built_with(number):
    assert faults_on(f"{number}", {"OMP_NUM_THREADS": "1"}) == ""


def faults_on(what: str, environment: dict[str, str]) -> str:
    """What a process with these environment variables finds; each fault on a line."""
    command = [sys.executable, "-W", "ignore", __file__, what]
    done = subprocess.run(command, cwd=ROOT, env={**os.environ, **environment}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def faults(exercise: Exercise, number: int | None) -> Iterator[str]:
    """What is wrong with the shipped key of an exercise here, or in the arithmetic of this number."""
    reference, mistakes = answer_key(exercise.name)
    right = {"the reference": exercise.reference} if exercise.stand_in is None else {}

    def verdict(implementation):
        if number is None:
            seen = observe(exercise.name, implementation, PUBLIC_SEED)
        else:
            seen = observe_elsewhere(exercise.name, implementation, PUBLIC_SEED, number)
        return compare(exercise.name, seen, reference, mistakes)

    for name, implementation in (right | exercise.variants).items():
        if not (found := verdict(implementation)).passed:
            yield f"{name} is refused: {found}"
    for name, (_, make) in exercise.mistakes.items():
        if (found := verdict(make())).mistake != name:
            yield f"the mistake {name} is not named: {found}"


if __name__ == "__main__":
    for exercise in load_all().values():
        for fault in faults(exercise, int(sys.argv[1]) if sys.argv[1].isdecimal() else None):
            print(f"{exercise.name}: {fault}")
