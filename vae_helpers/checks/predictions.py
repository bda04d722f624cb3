"""Predictions are taken before an experiment, and explained after it: any option earns the point."""

import numpy as np

from .observation import Observation
from .probes import OPTIONS, PREDICTION, PROBES, load_all


def predicted(exercise: str, seen: Observation) -> str | None:
    """What was predicted, as "b" or "0.25"; None where `exercise` is no prediction, or no valid answer was seen."""
    if exercise not in PROBES:  # where another process has run the probe
        load_all()
    if exercise not in OPTIONS:
        return None
    facts = [fact for fact in seen if fact.label == PREDICTION and isinstance(fact.value, np.ndarray)]
    letters = OPTIONS[exercise]
    for fact in facts:
        if fact.what == "choice" and fact.value.size == len(letters) and fact.value.sum() == 1:
            return letters[int(fact.value.argmax())]
        if fact.what == "number" and fact.value.size == 1 and not np.isnan(fact.value).any():
            return f"{float(fact.value.item()):.6g}"
    return None
