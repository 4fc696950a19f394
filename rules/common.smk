"""The study that runs, as every rule file knows it, and what surrounds a run."""

import os
from pathlib import Path

from snakemake.exceptions import WorkflowError

from heirloom.analyse.tables import TABLES, table_names
from heirloom.publish.hub import DATASET_FILES, STUDENT_FILES, repository
from heirloom.report.figures import FIGURES, figure_names
from heirloom.study.job_inputs import (
    JobInputs,
    component_files,
    inner_path,
    modules,
    run_command,
    shards_there,
)
from heirloom.study.job_size import JobSizes, memory_of_files, resources_of
from heirloom.study.parse import parse_study
from heirloom.study.paths import Paths
from heirloom.study.plan import make_plan
from heirloom.study.wildcards import any_of
from heirloom.support.errors import HeirloomError


report: "../report/workflow.rst"


# For every job. Bars of several jobs would interleave in one terminal, and threads that spin while
# they wait slow down the jobs next to theirs.
os.environ.setdefault("TQDM_DISABLE", "1")
os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

HOME = Path(os.path.relpath(workflow.basedir))
try:
    STUDY = parse_study(config, root=Path.cwd(), files=workflow.configfiles)
    PLAN = make_plan(STUDY)
    PATHS = Paths.of_study(STUDY.study)
    JOBS = JobInputs(PLAN, PATHS)
    JOBS.require_compared()
except HeirloomError as error:
    raise WorkflowError(str(error)) from None


def model_resources(need):
    """Resources of a rule that runs a model, on machines as the profile describes them."""
    stated = workflow.resource_settings.default_resources or {}
    gpu, limit = stated.get("gpu_memory_mb"), stated.get("runtime_limit")
    return resources_of(
        need,
        gpu_memory_mb=gpu.value if gpu else None,
        runtime_limit=limit.value if limit else None,
    )


def memory_for_files(wildcards, input, attempt):
    """MB for a job that holds its input files as Python objects."""
    return memory_of_files(input) * attempt


def shown(path, name, title, category):
    """A file of the study's report that `snakemake --report` shows too, with its caption."""
    caption = Path(workflow.basedir) / "report" / "captions" / f"{name}.rst"
    return report(
        path,
        caption=str(caption) if caption.exists() else None,
        category=category,
        labels={"study": STUDY.study, "shows": title},
    )


def shown_tables(names):
    """These tables, as `shown` gives each."""
    return {n: shown(PATHS.table(n), n, TABLES.get(n).title, "Tables") for n in names}


include: "run.smk"
