"""The beginning of every job."""

from pathlib import Path

from heirloom.support import log
from heirloom.support.gpus import claim_gpus
from heirloom.support.processes import end_with_parent


def start_job(log_file: str | Path, label: str, *, gpus: int = 0) -> None:
    """Set up logging, end with Snakemake, and claim GPUs. To be called before torch is imported.

    A job that Snakemake, killed, has left would finish for nothing: the next run throws its result
    away, with the work folder that holds its parts or checkpoints. Ended, it leaves them to that
    run.

    Args:
        log_file: The job's log.
        label: Begins each line on stderr.
        gpus: Number of GPUs that the job asks for.

    Raises:
        HeirloomError: There are not so many GPUs.
    """
    log.setup(log_file, label)
    end_with_parent()
    claim_gpus(gpus)
