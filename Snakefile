"""heirloom: prompts -> candidates -> training sets -> students -> profiles -> report.

    snakemake --cores all                                      # the default study, config/config.yaml
    snakemake --cores all --configfile config/my-study.yaml    # another one

The study file is the only thing to edit; config/README.md explains its keys.
"""

from snakemake.utils import min_version

min_version("9.27")


# Used with `--software-deployment-method apptainer` alone: see envs/heirloom.def.
container: "heirloom.sif"


# A study is one whole file: the default one must not shine through the keys of another.
if "study" not in config:

    configfile: "config/config.yaml"


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
    shards=shards_there(PATHS, "generations"),
    scoring=shards_there(PATHS, "scores"),


include: "rules/fetch.smk"
include: "rules/prompts.smk"
include: "rules/generate.smk"
include: "rules/objectives.smk"
include: "rules/select.smk"
include: "rules/finetune.smk"
include: "rules/profiling.smk"
include: "rules/analyse.smk"
include: "rules/report.smk"
include: "rules/publish.smk"


rule all:
    default_target: True
    input:
        rules.report.output,
        rules.cards.output,
        rules.crate.output,
