"""A card for every training set and student, and the push to the hub, which nobody gets unasked.

    HF_TOKEN=... snakemake push --cores 1    # needs the section `publish` in the study file

Required inputs:
    plan.json, tables/*.csv, students/*/manifest.json, and what the tables are made from
Outputs:
    datasets/{dataset}/README.md            a data card in the hub's format
    students/{student}/README.md            a model card
    published/datasets/{dataset}.json       after a push: repository, commit, checksums
    published/students/{student}.json       likewise
"""


# Where the token is, and a network: nodes of a cluster may have neither.
localrules:
    push,
    push_dataset,
    push_student,


rule cards:
    """One job for all, because the results are read as a whole."""
    input:
        plan=f"{RESULTS}/plan.json",
        tables=rules.tables.output,
        manifests=expand(rules.finetune.output.manifest, student=PLAN.students),
        templates=[
            str(HOME / "report/cards" / f"{name}.md.j2")
            for name in ("dataset", "model", "made")
        ],
        modules=modules("publish.cards"),
    output:
        datasets=expand(
            f"{RESULTS}/datasets/{{dataset}}/README.md", dataset=PLAN.datasets
        ),
        students=expand(
            f"{RESULTS}/students/{{student}}/README.md", student=PLAN.students
        ),
    log:
        f"{RESULTS}/logs/report/cards.log",
    conda:
        "../envs/heirloom.yaml"
    resources:
        mem_mb=memory_for_files,
        runtime=10,
    params:
        command=rules.report.params.command,
        namespace=STUDY.publish.namespace if STUDY.publish else None,
    script:
        "../scripts/cards.py"


rule push_dataset:
    input:
        [f"{RESULTS}/datasets/{{dataset}}/{file}" for file in DATASET_FILES],
    output:
        f"{RESULTS}/published/datasets/{{dataset}}.json",
    log:
        f"{RESULTS}/logs/push/{{dataset}}.log",
    conda:
        "../envs/heirloom.yaml"
    params:
        repository=lambda w: repository(STUDY.publish.namespace, STUDY.study, w.dataset),
        kind="dataset",
        private=lambda w: STUDY.publish.private,
    script:
        "../scripts/push.py"


rule push_student:
    input:
        [f"{RESULTS}/students/{{student}}/{file}" for file in STUDENT_FILES],
    output:
        f"{RESULTS}/published/students/{{student}}.json",
    log:
        f"{RESULTS}/logs/push/{{student}}.log",
    conda:
        "../envs/heirloom.yaml"
    params:
        repository=lambda w: repository(STUDY.publish.namespace, STUDY.study, w.student),
        kind="model",
        private=lambda w: STUDY.publish.private,
        base=lambda w: base_of(w.student),
    script:
        "../scripts/push.py"


rule push:
    """Everything that the study publishes. Never part of `all`."""
    input:
        published("datasets", PLAN.datasets),
        published("students", PLAN.students),
