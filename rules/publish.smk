"""Cards, the RO-Crate of the finished study, and the push to the hub, which nobody gets unasked.

    HF_TOKEN=... snakemake push --cores 1    # needs the section `publish` in the study file

Required inputs:
    everything that the stages before made, but for logs and costs
Outputs:
    datasets/{dataset}/README.md            a data card in the hub's format
    students/{student}/README.md            a model card
    exports/{student}/manifest.json         with `export`: checksums, and a comparison with the adapter
    exports/{student}/merged/               safetensors with the adapter merged in, and a model card
    exports/{student}/gguf/                 likewise, one GGUF file
    ro-crate-metadata.json                  RO-Crate 1.1, profile Workflow Run Crate 0.5
    workflow/                               the workflow that ran, and the study file with its defaults
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
        plan=PATHS.plan(),
        # As text: where an input is an output object of a rule, Snakemake hashes every named list
        # of inputs once per file in it, which is minutes for a thousand students.
        tables=flatten(rules.tables.output),
        manifests=expand(rules.finetune.output.manifest, student=PLAN.students),
        templates=sorted(map(str, HOME.glob("report/cards/*.j2"))),
        modules=modules("publish.cards"),
    output:
        datasets=expand(PATHS.dataset("{dataset}", "README.md"), dataset=PLAN.datasets),
        students=expand(PATHS.student("{student}", "README.md"), student=PLAN.students),
        exports=JOBS.exports.cards(),
    log:
        PATHS.log("report", "cards"),
    conda:
        "../envs/heirloom.yaml"
    resources:
        mem_mb=memory_for_files,
        runtime=10,
    params:
        command=rules.report.params.command,
        namespace=STUDY.publish.namespace if STUDY.publish else None,
        exports=JOBS.exports.forms(),
    script:
        "../scripts/publish_cards.py"


rule export:
    """Of one student; which forms is up to the study."""
    input:
        base=lambda w: PATHS.model_note(PLAN.models[w.student].base),
        weights=PATHS.student("{student}", "adapter_model.safetensors"),
        settings=PATHS.student("{student}", "adapter_config.json"),
        prompts=lambda w: JOBS.student_prompts(w.student),
        modules=modules("publish.export"),
    output:
        **JOBS.exports.weights("{student}"),
        manifest=PATHS.export("{student}", "manifest.json"),
    log:
        PATHS.log("export", "{student}"),
    conda:
        "../envs/heirloom.yaml"
    resources:
        **model_resources(lambda w: SIZES.export(w.student)),
    params:
        template=lambda w: JOBS.template(w.student),
        format=lambda w: JOBS.student_format(w.student),
        outtype=STUDY.export.gguf if STUDY.export else None,
    script:
        "../scripts/publish_export.py"


rule crate:
    input:
        # As text, as above.
        outputs=flatten(
            [
                rules.report.output,
                rules.report.input.plan,
                rules.tables.output,
                rules.costs.output,
                rules.report.input.comparisons,
                rules.report.input.published,
                rules.report.input.overlap,
                JOBS.near_duplicates(),
                [
                    PATHS.profile_file(model, *named)
                    for model in PLAN.models
                    for named in JOBS.benchmark_outputs()
                ],
                rules.figures.output,
                rules.cards.output,
                rules.tables.input.profiles,
                rules.tables.input.compared,
                rules.tables.input.datasets,
                rules.tables.input.scores,
                rules.costs.input.candidates,
                rules.candidates.output if PLAN.pools else [],
                expand(rules.finetune.output, student=PLAN.students),
                expand(rules.train_prompts.output, prompts=STUDY.prompts),
                expand(rules.eval_prompts.output, prompts=STUDY.prompts),
                JOBS.judged_files(),
                JOBS.exports.files(),
            ]
        ),
        models=expand(rules.fetch_model.output, artefact=STUDY.models),
        prompts=expand(rules.fetch_prompts.output, prompts=STUDY.prompts),
        data=[PATHS.data_note(name) for name in STUDY.data],
        modules=modules("publish.crate"),
    output:
        metadata=PATHS.crate(),
        workflow=directory(PATHS.crate_workflow()),
    log:
        PATHS.log("report", "crate"),
    conda:
        "../envs/heirloom.yaml"
    resources:
        mem_mb=1000,
        runtime=30,
    params:
        command=run_command(workflow.configfiles, inner_path),
        agent=STUDY.publish.namespace if STUDY.publish else None,
    script:
        "../scripts/publish_crate.py"


rule push_dataset:
    input:
        [PATHS.dataset("{dataset}", file) for file in DATASET_FILES],
    output:
        PATHS.published("datasets", "{dataset}"),
    log:
        PATHS.log("push", "{dataset}"),
    conda:
        "../envs/heirloom.yaml"
    params:
        repository=lambda w: repository(STUDY.publish.namespace, STUDY.study, w.dataset),
        kind="dataset",
        private=lambda w: STUDY.publish.private,
    script:
        "../scripts/publish_push.py"


rule push_student:
    input:
        [PATHS.student("{student}", file) for file in STUDENT_FILES],
    output:
        PATHS.published("students", "{student}"),
    log:
        PATHS.log("push", "{student}"),
    conda:
        "../envs/heirloom.yaml"
    params:
        repository=lambda w: repository(STUDY.publish.namespace, STUDY.study, w.student),
        kind="model",
        private=lambda w: STUDY.publish.private,
        base=lambda w: JOBS.base_on_hub(w.student),
    script:
        "../scripts/publish_push.py"


rule push:
    """Everything that the study publishes. Never part of `all`."""
    input:
        lambda w: [*JOBS.published("datasets"), *JOBS.published("students")],
