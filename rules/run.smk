"""Around a run: one at a time, artefacts that were lost, what it needs, and its failures."""

import fcntl

from heirloom.study.estimate import measure, seconds_per_job
from heirloom.study.failures import FailedJob, failure_lines
from heirloom.study.job_size import sizes_of
from heirloom.study.readiness import Pending, require_ready
from heirloom.support.tracking import use_tracker
from snakemake_logger_plugin_heirloom import predict

# Rules whose jobs take long in every study, by the stage under which their costs are estimated.
COSTLY = {
    **{stage: stage for stage in ("generate", "finetune", "profile")},
    "judge": "answer",
    "compare": "compare_answers",
}
LOST = JOBS.lost_notes() if workflow.is_main_process else []

tracking = (workflow.resource_settings.default_resources or {}).get("tracking")
try:
    use_tracker(tracking.raw if tracking else None, STUDY.study)
except HeirloomError as error:
    raise WorkflowError(str(error)) from None


def refetched(wildcards):
    """No input, but jobs whose artefact left the cache are forced, as by `--forcerun`.

    Nothing is deleted for that: rules are also read for a dry run, a report and the linter.
    """
    workflow.dag.forcefiles.update(LOST)
    return []


onstart:
    pending = [
        Pending(job.rule.name, dict(job.wildcards_dict))
        for job in workflow.dag.needrun_jobs()
    ]
    try:
        for warning in require_ready(PLAN, PATHS, pending):
            print(warning)
    except HeirloomError as error:
        raise WorkflowError(str(error)) from None
    model_sizes = sizes_of(STUDY)
    costs = seconds_per_job(
        PLAN, model_sizes, measure(Path(PATHS.root).parent, model_sizes)
    )
    predict(
        {rule: costs[stage] for stage, rule in COSTLY.items() if stage in costs}
    )
    # Two runs in one folder would write the same files. The kernel drops this lock when the run
    # ends, however it ends; Snakemake's own would have to be removed by hand after a SIGKILL.
    global RUN_LOCK
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
    # Again, at the end: with keep-going, their messages may be an hour of other jobs above.
    failed = [
        FailedJob(
            " ".join([job.rule.name, *job.wildcards_dict.values()]), list(job.log)
        )
        for some in workflow.scheduler.failed
        for job in getattr(some, "jobs", [some])
    ]
    print(
        f"\n{len(failed)} of the jobs failed:",
        *failure_lines(failed),
        "What was finished is kept: put it right and run the same command again.\n",
        sep="\n",
    )
