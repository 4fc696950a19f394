"""Tables, figures and the report, from the files of the stages before.

Required inputs:
    profiles/, datasets/, scores/, generations/, prompts/ of the whole study
Outputs:
    plan.json       what the study consists of
    tables/*.csv    figures/*.svg    report.html
"""

TABLES = table_names(RECORD)
FIGURES = figure_names(RECORD)
# Of several studies, and of what depends on the machine: rules of their own write them, so that
# they change no other table.
COMPARISONS = study_table_names(STUDY.compare_with)


require_studies()


localrules:
    plan,
    costs,


rule plan:
    output:
        f"{RESULTS}/plan.json",
    log:
        f"{RESULTS}/logs/report/plan.log",
    conda:
        "../envs/heirloom.yaml"
    resources:
        mem_mb=500,
        runtime=5,
    params:
        plan=RECORD,
    script:
        "../scripts/plan.py"


rule tables:
    input:
        plan=f"{RESULTS}/plan.json",
        profiles=expand(
            rules.profile.output.summaries + rules.profile.output.records,
            model=PLAN.models,
        ),
        datasets=expand(rules.select.output, dataset=PLAN.datasets),
        scores=[
            f"{RESULTS}/scores/{teacher}/{prompts}/{metric}.jsonl"
            for teacher, prompts in pools_of(RECORD)
            for metric in STUDY.metrics
        ],
        modules=modules("analyse.tables"),
    output:
        **labelled("tables", TABLES, "csv", "Tables"),
    log:
        f"{RESULTS}/logs/report/tables.log",
    conda:
        "../envs/heirloom.yaml"
    resources:
        mem_mb=memory_for_files,
        runtime=30,
    script:
        "../scripts/tables.py"


rule costs:
    """What Snakemake measured of the jobs is there once they are done, but declared nowhere."""
    input:
        plan=f"{RESULTS}/plan.json",
        candidates=[
            f"{RESULTS}/generations/{teacher}/{prompts}/candidates.jsonl"
            for teacher, prompts in pools_of(RECORD)
        ],
        manifests=expand(rules.finetune.output.manifest, student=PLAN.students),
        profiles=expand(rules.profile.output.summaries, model=PLAN.models),
        modules=modules("analyse.tables.costs"),
    output:
        **labelled("tables", ["costs"], "csv", "Tables"),
    log:
        f"{RESULTS}/logs/report/costs.log",
    conda:
        "../envs/heirloom.yaml"
    resources:
        mem_mb=500,
        runtime=10,
    params:
        shards=SHARDS,
    script:
        "../scripts/costs.py"


if COMPARISONS:

    rule studies:
        """This study beside others: their tables are read, nothing of theirs is run."""
        input:
            changes=tables_of_studies("changes"),
            settings=tables_of_studies("settings"),
            modules=modules("analyse.tables.studies"),
        output:
            **labelled("tables", COMPARISONS, "csv", "Tables"),
        log:
            f"{RESULTS}/logs/report/studies.log",
        conda:
            "../envs/heirloom.yaml"
        resources:
            mem_mb=500,
            runtime=10,
        params:
            studies=[STUDY.study, *STUDY.compare_with],
        script:
            "../scripts/studies.py"


rule figures:
    input:
        plan=f"{RESULTS}/plan.json",
        tables=rules.tables.output,
        modules=modules("report.figures"),
    output:
        **labelled("figures", FIGURES, "svg", "Figures"),
    log:
        f"{RESULTS}/logs/report/figures.log",
    conda:
        "../envs/heirloom.yaml"
    resources:
        mem_mb=memory_for_files,
        runtime=10,
    script:
        "../scripts/figures.py"


rule report:
    input:
        plan=f"{RESULTS}/plan.json",
        tables=rules.tables.output,
        costs=rules.costs.output,
        comparisons=rules.studies.output if COMPARISONS else [],
        figures=rules.figures.output,
        captions=[
            str(HOME / "report/captions" / f"{name}.rst")
            for name in [*TABLES, *COMPARISONS, "costs", *FIGURES]
        ],
        templates=[
            str(HOME / "report" / f"report.{kind}")
            for kind in ("html.j2", "css", "js")
        ],
        modules=modules("report.page"),
    output:
        report(
            f"{RESULTS}/report.html",
            caption="../report/captions/report.rst",
            category="Report",
            labels={"study": STUDY.study, "shows": "everything on one page"},
        ),
    log:
        f"{RESULTS}/logs/report/report.log",
    conda:
        "../envs/heirloom.yaml"
    resources:
        mem_mb=memory_for_files,
        runtime=10,
    params:
        command=run_command(os.path.relpath),
    script:
        "../scripts/report.py"
