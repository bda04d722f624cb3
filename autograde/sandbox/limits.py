"""What a submission may use."""

from dataclasses import dataclass

from vae_helpers.submissions.steps import SECONDS, STEP_SECONDS


@dataclass(frozen=True)
class Limits:
    """What a submission may use. step: seconds for one cell or one check. submission: seconds for all of it together.

    memory: bytes for a process, and for all of its processes together, beyond what PyTorch takes. disk: bytes for each of its
    folders, which are in memory, too. files: files and folders in each of them. processes: threads count.
    """

    step: float = STEP_SECONDS
    submission: float = SECONDS
    memory: int = 2 << 30
    disk: int = 256 << 20
    files: int = 20_000
    processes: int = 64
