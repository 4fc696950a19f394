"""Start of every job: its log, its GPUs, and its end with Snakemake."""

import gc
from pathlib import Path

from heirloom.support import log
from heirloom.support.gpus import claim_gpus
from heirloom.support.processes import end_with_parent

# torch and transformers make millions of objects that stay. With Python's own thresholds a fifth of
# the time of their import goes into looking for garbage among them.
_COLLECTION = (100_000, 50, 50)


def start_job(log_file: str | Path, label: str, *, gpus: int = 0) -> None:
    """Set up logging, end with Snakemake, and claim GPUs. To be called before torch is imported.

    If Snakemake is killed, its jobs end, too. They would finish in vain: the next run discards
    their results, with the work folders that hold parts or checkpoints. If they end, the next run
    resumes from these.

    Args:
        log_file: The job's log.
        label: Begins each line on stderr.
        gpus: Number of GPUs that the job asks for.

    Raises:
        HeirloomError: There are not so many GPUs.
    """
    gc.set_threshold(*_COLLECTION)
    log.setup(log_file, label)
    end_with_parent()
    claim_gpus(gpus)
