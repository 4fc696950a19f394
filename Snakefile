"""heirloom: prompts -> candidates -> training sets -> students -> profiles -> report.

    snakemake --cores all                                      # the default study, config/config.yaml
    snakemake --cores all --configfile config/my-study.yaml    # another one

The study file is the only thing to edit; config/README.md explains its keys.
"""

import os
import re
from pathlib import Path

from snakemake.exceptions import WorkflowError
from snakemake.utils import min_version

from heirloom import objectives, profiling
from heirloom.study import job_size as resources
from heirloom.study.parse import parse_study
from heirloom.analyse.contents import figure_names
from heirloom.analyse.contents import study_table_names
from heirloom.analyse.contents import table_names
from heirloom.analyse.contents import title_of
from heirloom.finetune.methods import METHODS
from heirloom.finetune.settings import Run
from heirloom.support.errors import HeirloomError
from heirloom.study.modules import modules_of
from heirloom.study.plan import make_plan
from heirloom.study.plan import plan_record
from heirloom.publish.hub import DATASET_FILES
from heirloom.publish.hub import STUDENT_FILES
from heirloom.publish.hub import hub_base
from heirloom.publish.hub import repository
from heirloom.select.strategies import STRATEGIES
from heirloom.analyse.results import pools_of
from heirloom.fetch.notes import locate

min_version("9.27")


# Used with `--software-deployment-method apptainer` alone: see envs/heirloom.def.
container: "heirloom.sif"


# A study is one whole file: the default one must not shine through the keys of another.
if "study" not in config:

    configfile: "config/config.yaml"


try:
    STUDY = parse_study(config, root=Path.cwd())
    PLAN = make_plan(STUDY)
    RECORD = plan_record(STUDY, PLAN)
except HeirloomError as error:
    raise WorkflowError(str(error)) from None

HOME = Path(os.path.relpath(workflow.basedir))
RESULTS = f"results/{STUDY.study}"
BENCHMARKS = [name for name, options in STUDY.benchmarks if options is not None]


include: "rules/common.smk"


wildcard_constraints:
    artefact=any_of(STUDY.models),
    teacher=any_of(STUDY.teachers),
    prompts=any_of(STUDY.prompts),
    metric=any_of(STUDY.metrics),
    dataset=any_of(PLAN.datasets),
    student=any_of(PLAN.students),
    model=any_of(PLAN.models),


# How many jobs share the work is up to the machine: set-scatter in its profile.
scattergather:
    shards=shards_there("generations"),
    scoring=shards_there("scores"),


SHARDS = len(gather.shards("{scatteritem}"))


include: "rules/resources.smk"
include: "rules/fetch.smk"
include: "rules/prompts.smk"
include: "rules/generate.smk"
include: "rules/score.smk"
include: "rules/select.smk"
include: "rules/finetune.smk"
include: "rules/judge.smk"
include: "rules/profile.smk"
include: "rules/report.smk"
include: "rules/publish.smk"
include: "rules/crate.smk"


rule all:
    default_target: True
    input:
        f"{RESULTS}/report.html",
        rules.cards.output,
        rules.crate.output,
