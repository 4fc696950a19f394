"""Tables: what was measured, what changed, how selection worked and what it all cost.

Required inputs:
    profiles/, datasets/, scores/, generations/, prompts/ of the whole study
    compared_answers/ of its judges, if there are any
Outputs:
    plan.json       what the study consists of
    tables/*.csv
    candidates.parquet    all candidates, with every score and the training sets that hold them
"""


localrules:
    plan,
    costs,


rule plan:
    output:
        PATHS.plan(),
    log:
        PATHS.log("report", "plan"),
    conda:
        "../envs/heirloom.yaml"
    resources:
        mem_mb=500,
        runtime=5,
    params:
        plan=PLAN.record(),
    script:
        "../scripts/study_plan.py"


rule tables:
    input:
        plan=PATHS.plan(),
        profiles=expand(
            rules.profile.output.summaries + rules.profile.output.records,
            model=PLAN.models,
        ),
        datasets=expand(rules.select.output, dataset=PLAN.datasets),
        scores=JOBS.scores(),
        compared=[PATHS.compared_answers(judge) for judge in STUDY.judges],
        near_duplicates=JOBS.near_duplicates(),
        modules=sorted(
            {*modules("analyse.tables"), *component_files(TABLES, table_names(PLAN))}
        ),
    output:
        **shown_tables(table_names(PLAN)),
    log:
        PATHS.log("report", "tables"),
    conda:
        "../envs/heirloom.yaml"
    resources:
        mem_mb=memory_for_files,
        runtime=30,
    script:
        "../scripts/analyse_tables.py"


if PLAN.pools:

    rule candidates:
        """Nothing is computed from it: it is there to be looked at."""
        input:
            plan=PATHS.plan(),
            candidates=[PATHS.candidates(*pool) for pool in PLAN.pools],
            scores=JOBS.scores(),
            datasets=expand(rules.select.output.train, dataset=PLAN.datasets),
            modules=modules("analyse.candidates"),
        output:
            PATHS.all_candidates(),
        log:
            PATHS.log("report", "candidates"),
        conda:
            "../envs/heirloom.yaml"
        resources:
            mem_mb=memory_for_files,
            runtime=10,
        script:
            "../scripts/analyse_candidates.py"


if PLAN.datasets:

    rule overlap:
        """Of the profiles only the ids of one model's records are read: nothing is measured."""
        input:
            plan=PATHS.plan(),
            datasets=expand(rules.select.output.train, dataset=PLAN.datasets),
            records=JOBS.item_records(),
            prompts=JOBS.benchmark_files("prompts"),
            pairs=JOBS.benchmark_files("pairs"),
            data=JOBS.benchmark_data(),
            modules=modules("analyse.tables.overlap"),
        output:
            **shown_tables(["overlap"]),
        log:
            PATHS.log("report", "overlap"),
        conda:
            "../envs/heirloom.yaml"
        resources:
            mem_mb=memory_for_files,
            runtime=10,
        script:
            "../scripts/analyse_overlap.py"


rule costs:
    """Snakemake's measurements of jobs are there once they are done, but declared nowhere."""
    input:
        plan=PATHS.plan(),
        candidates=[PATHS.candidates(*pool) for pool in PLAN.pools],
        manifests=expand(rules.finetune.output.manifest, student=PLAN.students),
        profiles=expand(rules.profile.output.summaries, model=PLAN.models),
        compared=[PATHS.compared_answers(judge) for judge in STUDY.judges],
        modules=modules("analyse.tables.costs"),
    output:
        **shown_tables(["costs"]),
    log:
        PATHS.log("report", "costs"),
    conda:
        "../envs/heirloom.yaml"
    resources:
        mem_mb=500,
        runtime=10,
    params:
        shards=SIZES.shards,
    script:
        "../scripts/analyse_costs.py"


if STUDY.compare_with:

    rule studies:
        """This study next to others, whose tables are only read."""
        input:
            changes=JOBS.compared_tables("changes"),
            settings=JOBS.compared_tables("settings"),
            modules=modules("analyse.tables.studies"),
        output:
            **shown_tables(["studies", "study_settings"]),
        log:
            PATHS.log("report", "studies"),
        conda:
            "../envs/heirloom.yaml"
        resources:
            mem_mb=500,
            runtime=10,
        params:
            studies=[STUDY.study, *STUDY.compare_with],
        script:
            "../scripts/analyse_studies.py"


if STUDY.references:

    rule published_numbers:
        """Numbers of other studies next to this study's changes, which are only read."""
        input:
            plan=PATHS.plan(),
            changes=PATHS.table("changes"),
            modules=modules("analyse.tables.published_numbers"),
        output:
            **shown_tables(["published_numbers"]),
        log:
            PATHS.log("report", "published_numbers"),
        conda:
            "../envs/heirloom.yaml"
        resources:
            mem_mb=500,
            runtime=10,
        params:
            numbers=[number.model_dump(mode="json") for number in STUDY.references],
        script:
            "../scripts/analyse_published_numbers.py"
