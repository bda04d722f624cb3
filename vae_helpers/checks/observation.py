"""What a probe saw: a list of facts, as plain arrays and words, with nothing in it that judges."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from safetensors.numpy import load as load_arrays
from safetensors.numpy import save as save_arrays

RAISED = "raised"  # what a fact is that tells of an error
ADVICE = "advice"  # what a fact is that is told, and earns and costs nothing
NOT_WRITTEN = "NotImplementedError: not written yet"  # its value where only the line that was handed out ran


@dataclass(frozen=True)
class Fact:
    """One thing that a probe saw.

    label: which call it belongs to, in words ("with 5 rows and 3 dimensions").
    what: which aspect of that call ("result", "gradient with respect to mu", "raised", ...).
    value: an array of numbers, or a word or sentence; None where rounding alone decides what is seen here, or whether anything is.
    rtol, atol: how far another observation may be from this one and still agree; `atol` may be an array that
        broadcasts to `value`. Only the reference's tolerances count.
    limit: where given, the fact is one-sided: `value` agrees when it is at most `limit`. For what is computed of numbers that are
        compared, too, or by the judge itself: a process that says "little" of itself earns nothing by it (`Recorder.advise`).
    told: what a student reads where this fact is wrong, in place of the judge's own words; of an error, the student's line
        that raised it. Nothing is compared with it, and no key holds it.
    """

    label: str
    what: str
    value: np.ndarray | str | None
    rtol: float = 1e-4
    atol: Any = 1e-5
    limit: float | None = None
    told: str | None = None

    @property
    def place(self) -> tuple[str, str]:
        """(label, what): the same aspect of the same call has the same place in every observation of an exercise."""
        return self.label, self.what

    @property
    def error(self) -> str | None:
        """The name of the class of what was raised; None for a fact of another kind."""
        return str(self.value).split(":")[0] if self.what == RAISED else None

    @property
    def results(self) -> int:
        """Of how many results of its call this is one, as `name_of_result` wrote it; 0 where it is none."""
        if not self.what.startswith("result"):
            return 0
        return int(self.what.split(" of ")[1]) if " of " in self.what else 1


def name_of_result(number: int, results: int) -> str:
    """What the fact is called that holds a call's result: the first has number 0."""
    return "result" if results == 1 else f"result {number + 1} of {results}"


Observation = list[Fact]


def leave_undecided(facts: Observation, places: Iterable[tuple[str, str]]) -> Observation:
    """The same observation, with no value at these places."""
    places = dict.fromkeys(places)
    return [fact for fact in facts if fact.place not in places] + [Fact(*place, None) for place in places]


def undecided_places(facts: Observation) -> list[tuple[str, str]]:
    """Where an observation has no value, because rounding alone decides it."""
    return [fact.place for fact in facts if fact.value is None]


def pack(observations: dict[str, Observation], **notes: Any) -> bytes:
    """Observations by name, and JSON-able notes, as one safetensors file: arrays and JSON, no code."""
    arrays, index = {}, {}
    for name, facts in observations.items():
        index[name] = []
        for i, fact in enumerate(facts):
            entry = {"label": fact.label, "what": fact.what, "rtol": fact.rtol, "limit": fact.limit}
            if fact.told is not None:
                entry["told"] = fact.told
            if fact.value is None or isinstance(fact.value, str):
                entry["text"] = fact.value
            else:
                # float32 is finer than any tolerance, and half the size.
                value = fact.value.astype(np.float32) if fact.value.dtype == np.float64 else fact.value
                arrays[f"{name}/{i}/value"] = np.ascontiguousarray(value).reshape(value.shape)
                if np.ndim(fact.atol):
                    arrays[f"{name}/{i}/atol"] = np.asarray(fact.atol, dtype=np.float64)
                else:
                    entry["atol"] = float(fact.atol)
            index[name].append(entry)
    notes = json.dumps({"observations": index, "notes": notes})
    return save_arrays(dict(sorted(arrays.items())), metadata={"observations": notes})


def unpack(data: bytes) -> tuple[dict[str, Observation], dict[str, Any]]:
    """The inverse of `pack`: (observations by name, notes)."""
    arrays = load_arrays(data)
    header_length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + header_length])
    content = json.loads(header["__metadata__"]["observations"])
    observations = {}
    for name, entries in content["observations"].items():
        observations[name] = [
            Fact(
                e["label"],
                e["what"],
                e["text"] if "text" in e else arrays[f"{name}/{i}/value"],
                e["rtol"],
                e["atol"] if "atol" in e else arrays.get(f"{name}/{i}/atol", 0.0),
                e["limit"],
                e.get("told"),
            )
            for i, e in enumerate(entries)
        ]
    return observations, content["notes"]
