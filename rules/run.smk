"""Around a run: one at a time, artefacts that were lost, and what to do after a failure."""

import fcntl

# An artefact that left the cache is fetched again, and what was made of it made again. Nothing is
# deleted for that while rules are read, which a dry run, a report or a linter does as well.
if workflow.is_main_process and workflow.dag_settings:
    workflow.dag_settings.forcerun = frozenset(
        [*workflow.dag_settings.forcerun, *JOBS.lost_notes()]
    )


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
