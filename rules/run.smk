"""Around a run: one at a time, artefacts that were lost, and what to do after a failure."""

import fcntl

LOST = JOBS.lost_notes() if workflow.is_main_process else []


def refetched(wildcards):
    """No input, but jobs whose artefact left the cache are forced, as by `--forcerun`.

    Nothing is deleted for that: rules are also read for a dry run, a report and the linter.
    """
    workflow.dag.forcefiles.update(LOST)
    return []


onstart:
    # Two runs in one folder would write the same files. The kernel drops this lock when the run
    # ends, however it ends; Snakemake's own would have to be removed by hand after a SIGKILL.
    global RUN_LOCK
    Path(PATHS.root).mkdir(parents=True, exist_ok=True)
    RUN_LOCK = open(PATHS.lock(), "w")
    try:
        fcntl.flock(RUN_LOCK, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise WorkflowError(
            f"another run is working on {PATHS.root}. Wait for it, or stop it first."
        )
    except OSError as error:
        print(
            f"{PATHS.root} cannot be locked ({error.strerror}): start no second run in it."
        )


onerror:
    print(
        "\nSomething failed; its message is above and in the log file named there. What was "
        "finished is kept: put it right and run the same command again.\n"
    )
