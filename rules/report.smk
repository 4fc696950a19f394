"""Figures and the report, from the tables and the files of the stages before.

Required inputs:
    plan.json, tables/*.csv, and what the tables are made from
Outputs:
    figures/*.svg
    report.html     one page that opens from disk
    tables/models.tex    models by metrics, to be printed
"""


rule figures:
    input:
        plan=PATHS.plan(),
        tables=rules.tables.output,
        modules=sorted(
            {*modules("report.figures"), *component_files(FIGURES, figure_names(PLAN))}
        ),
    output:
        **{
            name: shown(PATHS.figure(name), name, FIGURES.get(name).title, "Figures")
            for name in figure_names(PLAN)
        },
    log:
        PATHS.log("report", "figures"),
    conda:
        "../envs/heirloom.yaml"
    resources:
        mem_mb=memory_for_files,
        runtime=10,
    script:
        "../scripts/report_figures.py"


rule report:
    input:
        plan=PATHS.plan(),
        tables=rules.tables.output,
        costs=rules.costs.output,
        comparisons=rules.studies.output if STUDY.compare_with else [],
        published=rules.published_numbers.output if STUDY.references else [],
        overlap=rules.overlap.output if PLAN.datasets else [],
        figures=rules.figures.output,
        page=sorted(str(file) for file in HOME.glob("report/*.*") if file.is_file()),
        captions=sorted(map(str, HOME.glob("report/captions/*.rst"))),
        modules=modules("report.page"),
    output:
        shown(PATHS.report(), "report", "everything on one page", "Report"),
        latex=PATHS.latex("models"),
    log:
        PATHS.log("report", "report"),
    conda:
        "../envs/heirloom.yaml"
    resources:
        mem_mb=memory_for_files,
        runtime=10,
    params:
        command=run_command(workflow.configfiles, os.path.relpath),
    script:
        "../scripts/report_page.py"
