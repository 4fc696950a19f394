"""The report of a study: one HTML file that opens from disk and asks nothing of a network.

The templates in report/ decide how things look; what they say is decided here and in
heirloom.report.findings.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from heirloom.analyse.results import load_results
from heirloom.analyse.tables import read, table_names, to_csv
from heirloom.profiling.labels import benchmark_label
from heirloom.report import answers, views
from heirloom.report.abstract import abstract, agreement, spent
from heirloom.report.benchmark_views import sections
from heirloom.report.cells import View
from heirloom.report.composition import bases, pool_sizes, prompt_sets, selections, teachers
from heirloom.report.downloads import Download, download, latex
from heirloom.report.exhibits import TEMPLATES, Exhibit, exhibits
from heirloom.report.figures import figure_names
from heirloom.report.findings.active import VERDICTS, active_findings
from heirloom.report.findings.benchmarks import benchmark_findings, passive_findings
from heirloom.report.findings.families import families
from heirloom.report.findings.inherited import inherited_findings
from heirloom.report.findings.limits import Limit, computed_otherwise, limits
from heirloom.report.findings.noise import noise_findings
from heirloom.report.findings.quality import quality_findings
from heirloom.report.model_table import model_latex, model_view
from heirloom.report.opening import opening
from heirloom.report.pools import collect_pool, embed
from heirloom.report.provenance import describe_run
from heirloom.report.published import published_view
from heirloom.report.samples import collect_samples
from heirloom.report.user_text import shown
from heirloom.report.wording import listed
from heirloom.study.paths import Paths
from heirloom.study.plan import Plan
from heirloom.support.errors import HeirloomError
from heirloom.support.files import Record, write_text

#: Longer tables open on a click.
_OPEN_ROWS = 40
#: Tables that the report shows in parts of its own.
_SHOWN_APART = ("changes", "models", "profiles", "published_numbers", "studies", "study_settings")


@dataclass(frozen=True)
class Material:
    """Everything that the page is made of.

    Attributes:
        plan: The study's plan.
        tables: Tables by name.
        figures: SVG texts by name.
        exhibits: Titles and captions of both, by name.
        samples: Return value of `samples.collect_samples`.
        pools: Return values of `pools.collect_pool`, one per prompt set.
        answers: Return values of `answers.collect_answers`, one per benchmark with completions.
        provenance: Return value of `provenance.describe_run`.
        notes: Return value of `limits.computed_otherwise`.
    """

    plan: Plan
    tables: Mapping[str, pd.DataFrame]
    figures: Mapping[str, str]
    exhibits: Mapping[str, Exhibit]
    samples: Record
    pools: Sequence[Record]
    answers: Sequence[Record]
    provenance: Record
    notes: Sequence[Limit] = ()


def write_page(root: str | Path, *, apart: Sequence[str], command: str) -> None:
    """Write the report of the study whose results are in `root`, and the LaTeX of its models.

    Args:
        root: Folder of the results, with the written tables and figures.
        apart: Names of tables there that jobs of their own have written.
        command: Command that runs the study again.

    Raises:
        HeirloomError: A file that the plan implies is missing or malformed, or a table or figure
            has no caption.
    """
    results = load_results(root)
    plan, paths = results.plan, results.paths
    tables = read(Path(paths.table("changes")).parent, [*table_names(plan), *apart])
    figures = {name: _figure(paths, name) for name in figure_names(plan)}
    pools = [collect_pool(results, prompts) for prompts in prompt_sets(plan)]
    samples = collect_samples(results, pools)
    material = Material(
        plan=plan,
        tables=tables,
        figures=figures,
        exhibits=exhibits(tables, figures),
        samples=samples,
        pools=pools,
        answers=[
            answers.collect_answers(results, group["name"]) for group in samples["evaluation"]
        ],
        provenance=describe_run(plan, command=command),
        notes=computed_otherwise(results.profiles),
    )
    write_text(paths.latex("models"), _models_latex(material))
    write_text(paths.report(), render(material))


def _figure(paths: Paths, name: str) -> str:
    file = Path(paths.figure(name))
    if not file.exists():
        raise HeirloomError(f"{file} does not exist. Draw the figures first.")
    return file.read_text(encoding="utf-8")


def render(material: Material) -> str:
    """Return the report as one HTML document."""
    import jinja2
    from markupsafe import Markup

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        finalize=shown,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["tight"] = _tight
    # Of a table: a figure may have the same name.
    environment.filters["anchor"] = lambda name: (
        ("table-" if name in material.figures else "") + name.replace("_", "-")
    )
    environment.globals["latex"] = _latex_link

    def marked(embedded: Mapping[str, Record]) -> dict[str, Record]:
        return {name: {**one, "json": Markup(one["json"])} for name, one in embedded.items()}

    return environment.get_template("report.html.j2").render(
        **_words(material),
        **_views(material),
        style=Markup((TEMPLATES / "report.css").read_text(encoding="utf-8")),
        script=Markup((TEMPLATES / "report.js").read_text(encoding="utf-8")),
        figures={name: Markup(svg) for name, svg in material.figures.items()},
        first_figure=next(iter(material.figures), None),
        exhibits=material.exhibits,
        open_rows=_OPEN_ROWS,
        samples=material.samples,
        pools=marked(embed(material.pools)),
        answers=marked(embed(material.answers, most=answers.MOST_BYTES)),
        provenance=material.provenance,
    )


def _words(material: Material) -> dict[str, Any]:
    """Return the sentences of the page."""
    plan, tables = material.plan, material.tables
    moved = benchmark_findings(plan, tables["changes"])
    return {
        "study": plan.name,
        "title": plan.title,
        "opening": opening(plan, tables["changes"]),
        "abstract": abstract(plan, tables),
        "verdicts": VERDICTS,
        "active": active_findings(plan, tables),
        "passive": passive_findings(plan, tables["changes"]),
        "noise": noise_findings(plan, tables.get("noise_floor")),
        "whom": inherited_findings(plan, tables),
        "quality": quality_findings(plan, tables),
        "moved": {benchmark_label(name): lines for name, lines in moved.items() if lines},
        "unmoved": listed([benchmark_label(name) for name, lines in moved.items() if not lines]),
        "objectives": plan.objectives,
        "flow": _flow(plan, tables),
        "models": _models(plan),
        "cost": spent(tables["costs"]) if "costs" in tables else "",
        "agreement": agreement(plan, tables["studies"]) if "studies" in tables else [],
        "limits": [*limits(plan, tables), *material.notes],
    }


def _views(material: Material) -> dict[str, Any]:
    """Return the tables of the page."""
    plan, tables = material.plan, material.tables
    settings, published = tables.get("study_settings"), tables.get("published_numbers")
    return {
        "steered": views.steered(plan, tables["changes"], published, tables.get("noise_floor")),
        "published": (
            None if published is None else published_view(plan, published, tables["changes"])
        ),
        "families": families(plan, tables["changes"]),
        "models_view": model_view(plan, tables["models"], tables["profiles"]),
        "models_latex": download(
            _models_latex(material), "application/x-tex", f"{plan.name}-models.tex"
        ),
        "sections": sections(plan, tables),
        "compared": views.compared(plan, tables["studies"]) if "studies" in tables else None,
        "settings_apart": (
            None if settings is None else views.any_table("study_settings", settings)
        ),
        "others": {
            name: views.any_table(name, views.shown_rows(name, table))
            for name, table in tables.items()
            if name not in _SHOWN_APART and len(table)
        },
        "downloads": {
            name: download(to_csv(table), "text/csv", f"{plan.name}-{name}.csv")
            for name, table in tables.items()
        },
    }


def _models_latex(material: Material) -> str:
    view = model_view(material.plan, material.tables["models"], material.tables["profiles"])
    caption = material.exhibits["models"].caption
    return model_latex(view, caption, f"{material.plan.name}-models")


def _latex_link(view: View, caption: Sequence[str], name: str) -> Download:
    return download(latex(view, caption, name), "application/x-tex", f"{name}.tex")


def _tight(text: str) -> str:
    """Keep a number and its percent sign, and n and its value, on one line."""
    return text.replace(" %", "\N{NO-BREAK SPACE}%").replace(
        "n = ", "n\N{NO-BREAK SPACE}=\N{NO-BREAK SPACE}"
    )


def _flow(plan: Plan, tables: Mapping[str, pd.DataFrame]) -> list[tuple[str, str, str]]:
    """Return stage, number and explanation, from prompts to profiles, of stages that there are."""
    stages = []
    if len(tables["candidates"]):
        per_set, k = pool_sizes(tables["candidates"])
        sets = ", ".join(f"{n} {name}" for name, n in per_set.items())
        each = f"k = {k} per prompt from each of {listed(teachers(plan))}"
        stages.append(("Prompts", f"{sum(per_set.values()):,}", sets))
        stages.append(("Candidates", f"{int(tables['candidates']['n'].sum()):,}", each))
    if plan.datasets:
        kinds = ", ".join(selections(plan))
        stages.append(("Training sets", f"{len(plan.datasets)}", kinds))
    if plan.students:
        origin = f"finetuned from {listed(bases(plan))}"
        stages.append(("Students", f"{len(plan.students)}", origin))
    sizes = _examples(tables["profiles"])
    measured = ", ".join(f"{benchmark_label(name)} on {n:,} examples" for name, n in sizes.items())
    return [*stages, ("Profiles", f"{len(plan.models)}", measured)]


def _examples(profiles: pd.DataFrame) -> dict[str, int]:
    """Benchmark to the number of examples of its metric that has most."""
    sizes = (profiles["n"] + profiles["n_missing"]).groupby(profiles["benchmark"], sort=False)
    return {str(name): int(n) for name, n in sizes.max().items()}


def _models(plan: Plan) -> list[tuple[str, str]]:
    """Term and description for the list of models."""
    seeds = sorted({model.seed for model in plan.students.values() if model.seed is not None})
    terms = [
        ("Base models", bases(plan)),
        ("Teachers", teachers(plan)),
        ("Profiled only", [name for name, model in plan.models.items() if model.role == "other"]),
        ("Training seeds", [str(seed) for seed in seeds]),
        ("Benchmarks", [benchmark_label(name) for name in plan.benchmarks]),
    ]
    return [(term, listed(names)) for term, names in terms if names]
