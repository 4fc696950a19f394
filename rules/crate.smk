"""An RO-Crate of the finished study: every file with its checksum, and what it was made from.

Required inputs:
    everything that the stages before made, but for logs and costs
Outputs:
    ro-crate-metadata.json    RO-Crate 1.1, profile Workflow Run Crate 0.5
    workflow/                 the workflow that ran, and the study file with its defaults
"""


rule crate:
    input:
        outputs=[
            rules.report.output,
            rules.report.input.plan,
            rules.tables.output,
            rules.costs.output,
            rules.report.input.comparisons,
            rules.figures.output,
            rules.cards.output,
            rules.tables.input.profiles,
            rules.tables.input.datasets,
            rules.tables.input.scores,
            rules.costs.input.candidates,
            expand(rules.finetune.output, student=PLAN.students),
            expand(rules.split_prompts.output, prompts=STUDY.prompts),
            judged_files(),
        ],
        models=expand(rules.fetch_model.output, artefact=STUDY.models),
        prompts=expand(rules.fetch_prompts.output, prompts=STUDY.prompts),
        data=[f"{RESULTS}/data/{name}.json" for name in STUDY.data],
        modules=modules("publish.crate"),
    output:
        metadata=f"{RESULTS}/ro-crate-metadata.json",
        workflow=directory(f"{RESULTS}/workflow"),
    log:
        f"{RESULTS}/logs/report/crate.log",
    conda:
        "../envs/heirloom.yaml"
    resources:
        mem_mb=1000,
        runtime=30,
    params:
        command=run_command(inner_path),
        agent=STUDY.publish.namespace if STUDY.publish else None,
    script:
        "../scripts/crate.py"
