"""The report of a study: one HTML file that opens from disk and asks nothing of a network.

The templates in report/ decide how things look; what they say is decided here and in
heirloom.report.findings.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from heirloom.analyse.results import load_results
from heirloom.analyse.tables import read, table_names, to_csv
from heirloom.report import views
from heirloom.report.abstract import abstract, agreement, spent
from heirloom.report.downloads import data_uri, latex
from heirloom.report.figures import figure_names, title_of
from heirloom.report.findings import (
    active_findings,
    bases,
    benchmark_findings,
    limits,
    listed,
    passive_findings,
    pool_sizes,
    selections,
    teachers,
)
from heirloom.report.labels import benchmark_label
from heirloom.report.provenance import describe_run
from heirloom.report.samples import collect_pool, collect_samples, embed, prompt_sets
from heirloom.report.views import View
from heirloom.study.plan import Plan
from heirloom.support.errors import HeirloomError
from heirloom.support.files import Record, write_text

__all__ = ["TEMPLATES", "describe_run", "load_captions", "render", "write"]

TEMPLATES = Path(__file__).resolve().parents[2] / "report"
#: Longer tables open on a click.
_OPEN_ROWS = 40
#: Tables that the report shows in parts of its own.
_SHOWN_APART = ("changes", "profiles", "studies", "study_settings")


def render(
    plan: Plan,
    tables: Mapping[str, pd.DataFrame],
    figures: Mapping[str, str],
    samples: Record,
    pools: Sequence[Record],
    captions: Mapping[str, str],
    provenance: Record,
) -> str:
    """The report as one HTML document.

    Args:
        plan: plan.json; its "title", if there is one, heads the page.
        tables: name to table, as `tables.read` gives them.
        figures: name to SVG text.
        samples: what `samples.collect_samples` returns.
        pools: what `samples.collect_pool` returns, for each prompt set.
        captions: name of a table or figure to its caption, paragraphs separated by a blank line.
        provenance: what `describe_run` returns.

    Raises:
        HeirloomError: a table or figure has no caption.
    """
    import jinja2
    from markupsafe import Markup

    missing = sorted((tables.keys() | figures.keys()) - captions.keys())
    if missing:
        raise HeirloomError(f"no caption for {', '.join(missing)}: add report/captions/NAME.rst.")
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["tight"] = _tight
    environment.filters["title_of"] = title_of
    environment.filters["anchor"] = lambda name: name.replace("_", "-")
    environment.globals["latex"] = _latex_link
    studies = tables.get("studies")
    return environment.get_template("report.html.j2").render(
        study=plan.name,
        title=plan.get("title") or f"Study {plan['study']}",
        style=Markup((TEMPLATES / "report.css").read_text(encoding="utf-8")),
        script=Markup((TEMPLATES / "report.js").read_text(encoding="utf-8")),
        abstract=abstract(plan, tables),
        active=active_findings(plan, tables),
        passive=passive_findings(plan, tables["changes"]),
        moved={
            benchmark_label(name): sentences
            for name, sentences in benchmark_findings(plan, tables["changes"]).items()
        },
        objectives=plan.objectives,
        flow=_flow(plan, tables),
        models=_models(plan),
        cost=spent(tables["costs"]) if "costs" in tables else "",
        figures={name: Markup(svg) for name, svg in figures.items()},
        captions={name: text.split("\n\n") for name, text in captions.items()},
        steered=views.steered(plan, tables["changes"]),
        sections=views.sections(plan, tables),
        compared=None if studies is None else views.compared(plan, studies),
        agreement=[] if studies is None else agreement(plan, studies),
        settings_apart=(
            None if studies is None else views.any_table("study_settings", tables["study_settings"])
        ),
        others={
            name: view
            for name, table in tables.items()
            if name not in _SHOWN_APART and len(table)
            for view in [views.any_table(name, table)]
        },
        open_rows=_OPEN_ROWS,
        downloads={name: data_uri(to_csv(table), "text/csv") for name, table in tables.items()},
        samples=samples,
        pools={name: {**pool, "json": Markup(pool["json"])} for name, pool in embed(pools).items()},
        limits=limits(plan, tables),
        provenance=provenance,
    )


def _latex_link(view: View, caption: Sequence[str], name: str) -> str:
    return data_uri(latex(view, caption, name), "application/x-tex")


def _tight(text: str) -> str:
    """Keep a number and its sign of percent, and n and its value, on one line."""
    return text.replace(" %", "\N{NO-BREAK SPACE}%").replace(
        "n = ", "n\N{NO-BREAK SPACE}=\N{NO-BREAK SPACE}"
    )


def write(
    results: str | Path,
    tables: str | Path,
    figures: str | Path,
    captions: str | Path,
    out: str | Path,
    *,
    more_tables: Sequence[str],
    command: str,
) -> None:
    """Render the study in `results` from its written tables and figures to the file `out`.

    Args:
        results: the study's folder.
        tables: folder of the CSV files.
        figures: folder of the SVG files.
        captions: folder of the .rst captions.
        out: the HTML file.
        more_tables: names of tables in that folder that rules of their own have written.
        command: how to run the study again.
    """
    study = load_results(results)
    plan = study.plan
    write_text(
        out,
        render(
            plan,
            read(tables, [*table_names(plan), *more_tables]),
            {name: _read(Path(figures) / f"{name}.svg") for name in figure_names(plan)},
            collect_samples(study),
            [collect_pool(study, prompts) for prompts in prompt_sets(plan)],
            load_captions(captions),
            describe_run(plan, command=command),
        ),
    )


def _read(path: Path) -> str:
    if not path.exists():
        raise HeirloomError(f"{path} does not exist. Draw the figures first.")
    return path.read_text(encoding="utf-8")


def load_captions(folder: str | Path) -> dict[str, str]:
    """Name to text of every .rst file in `folder`; line breaks inside a paragraph are dropped."""
    return {
        path.stem: "\n\n".join(
            " ".join(paragraph.split())
            for paragraph in path.read_text(encoding="utf-8").strip().split("\n\n")
        )
        for path in sorted(Path(folder).glob("*.rst"))
    }


def _flow(plan: Plan, tables: Mapping[str, pd.DataFrame]) -> list[tuple[str, str, str]]:
    """Stage, number, explanation, from prompts to profiles; of stages that the study has."""
    stages = []
    pools, sets, names = tables["candidates"], plan.datasets, plan.students
    if len(pools):
        per_set, k = pool_sizes(pools)
        stages += [
            (
                "Prompts",
                f"{sum(per_set.values()):,}",
                ", ".join(f"{n} {name}" for name, n in per_set.items()),
            ),
            (
                "Candidates",
                f"{int(pools['n'].sum()):,}",
                f"k = {k} a prompt from each of {listed(teachers(plan))}",
            ),
        ]
    if sets:
        stages.append(
            (
                "Training sets",
                f"{len(sets)}",
                ", ".join(f"{n} {kind}" for kind, n in selections(plan).items()),
            )
        )
    if names:
        stages.append(("Students", f"{len(names)}", f"finetuned from {listed(bases(plan))}"))
    sizes = _examples(tables["profiles"])
    stages.append(
        (
            "Profiles",
            f"{len(plan['models'])}",
            ", ".join(f"{benchmark_label(name)} on {n:,} examples" for name, n in sizes.items()),
        )
    )
    return stages


def _examples(profiles: pd.DataFrame) -> dict[str, int]:
    """Benchmark to the number of examples of its metric that has most."""
    sizes = (profiles["n"] + profiles["n_missing"]).groupby(profiles["benchmark"], sort=False)
    return {str(name): int(n) for name, n in sizes.max().items()}


def _models(plan: Plan) -> list[tuple[str, str]]:
    """Term and description for the list of models."""
    trained = plan.students
    seeds = sorted({plan.models[name]["seed"] for name in trained})
    others = [name for name, model in plan.models.items() if model.role == "other"]
    terms = [
        ("Base models", bases(plan)),
        ("Teachers", teachers(plan)),
        ("Profiled only", others),
        ("Training seeds", [str(seed) for seed in seeds]),
        ("Benchmarks", [benchmark_label(name) for name in plan.benchmarks]),
    ]
    return [(term, listed(names)) for term, names in terms if names]
