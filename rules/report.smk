"""Tables, figures and the report, from the files of the stages before.

Required inputs:
    profiles/, datasets/, scores/, generations/, prompts/ of the whole study
Outputs:
    plan.json       what the study consists of
    tables/*.csv    figures/*.svg    report.html
"""

TABLES = ["changes", "training_sets", "candidates", "profiles", "settings"]
FIGURES = ["figure1", "figure2", "figure6"]


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
        plan=plan_record(STUDY, PLAN),
    script:
        "../scripts/plan.py"


rule tables:
    input:
        plan=f"{RESULTS}/plan.json",
        profiles=expand(rules.profile.output, model=PLAN.models, benchmark=BENCHMARKS),
        datasets=expand(rules.select.output, dataset=PLAN.datasets),
        scores=[
            f"{RESULTS}/scores/{teacher}/{prompts}/{metric}.jsonl"
            for teacher, prompts in sampled()
            for metric in STUDY.metrics
        ],
        modules=module("tables", "statistics"),
    output:
        **labelled("tables", TABLES, "csv", "Tables"),
    log:
        f"{RESULTS}/logs/report/tables.log",
    conda:
        "../envs/heirloom.yaml"
    resources:
        mem_mb=1000,
        runtime=30,
    script:
        "../scripts/tables.py"


rule figures:
    input:
        plan=f"{RESULTS}/plan.json",
        changes=rules.tables.output.changes,
        modules=module("figures", "tables"),
    output:
        **labelled("figures", FIGURES, "svg", "Figures"),
    log:
        f"{RESULTS}/logs/report/figures.log",
    conda:
        "../envs/heirloom.yaml"
    resources:
        mem_mb=1000,
        runtime=10,
    script:
        "../scripts/figures.py"


rule report:
    input:
        plan=f"{RESULTS}/plan.json",
        tables=rules.tables.output,
        figures=rules.figures.output,
        captions=[
            str(HOME / "report/captions" / f"{name}.rst") for name in TABLES + FIGURES
        ],
        template=str(HOME / "report/report.html.j2"),
        modules=module("report", "findings", "figures", "tables"),
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
        mem_mb=1000,
        runtime=10,
    params:
        command=" ".join(
            ["snakemake --cores all"]
            + [f"--configfile {os.path.relpath(f)}" for f in workflow.configfiles]
        ),
    script:
        "../scripts/report.py"
