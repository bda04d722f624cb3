"""What the notebooks import: data, training loop, evaluation, plots, explorers, toy models and checks."""

from .checks import CheckFailed, check, reveal
from .data import DataUnavailable, load_mnist
from .evaluate import ElboTerms, evaluate_elbo
from .explore import explore, latent_explorer
from .plots import (
    plot_history,
    plot_images,
    plot_latents,
    plot_reconstructions,
    plot_rows,
    show,
)
from .pretrained import load_parameters, load_pretrained
from .stops import show_stops
from .train import History, fit
from .weights import load_weights, save_weights

__all__ = [
    "CheckFailed",
    "DataUnavailable",
    "ElboTerms",
    "History",
    "check",
    "evaluate_elbo",
    "explore",
    "fit",
    "hand_in",
    "latent_explorer",
    "load_mnist",
    "load_parameters",
    "load_pretrained",
    "load_weights",
    "plot_history",
    "plot_images",
    "plot_latents",
    "plot_reconstructions",
    "plot_rows",
    "reveal",
    "save_weights",
    "show",
    "show_versions",
]

show_stops()


def __getattr__(name: str):
    # Imported when asked for, since looking up what is installed takes its time.
    if name == "__version__":
        from .versions import course_version

        return course_version()
    if name == "hand_in":
        from .submissions.handing_in import hand_in

        return hand_in
    if name == "show_versions":
        from .versions import show_versions

        return show_versions
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
