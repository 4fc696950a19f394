"""The report of a study: one HTML file that opens from disk and asks nothing of a network.

The template decides how things look; what they say is decided here and in heirloom.findings.
"""

import hashlib
import json
import platform
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pandas as pd

from heirloom.errors import HeirloomError
from heirloom.figures import FIGURES, label, student_label
from heirloom.files import Record, write_text
from heirloom.findings import (
    active_findings,
    bases,
    count,
    headline,
    limits,
    listed,
    number,
    passive_findings,
    points,
    signed,
    teachers,
)
from heirloom.tables import (
    TABLES,
    TEXT_COLUMNS,
    Study,
    load_study,
    main_metrics,
    read_all,
    rows_of,
    students,
    to_csv,
)

TEMPLATE = Path(__file__).resolve().parent.parent / "report" / "report.html.j2"
PACKAGES = ("torch", "transformers", "peft", "snakemake", "numpy", "pandas", "matplotlib")

_SHOWN_PROMPTS = 3
_LONGEST_COMPLETION = 700

_HEADINGS = {
    "change_vs_base": "Change vs base, %",
    "change_vs_control": "Change vs control, %",
    "n_missing": "missing",
    "n_tied": "tied",
    "n_truncated": "truncated",
    "n_prompts": "prompts with candidates",
    "difference_n": "prompts compared",
    "truncated": "truncated, %",
    "tokens": "tokens, mean",
}
_PREFIXES = {"share_": "from {}, %", "mean_": "{}, mean", "unscored_": "{} unscored"}


@dataclass(frozen=True)
class Cell:
    """What a table cell shows, and the number it sorts by (None: by its text)."""

    text: str
    number: float | None = None


@dataclass(frozen=True)
class View:
    """A table ready to be printed: headings with whether they are numbers, and rows of cells."""

    headings: list[tuple[str, bool]]
    rows: list[list[Cell]]


def render(
    plan: Record,
    tables: Mapping[str, pd.DataFrame],
    figures: Mapping[str, str],
    samples: Record,
    captions: Mapping[str, str],
    provenance: Record,
) -> str:
    """The report as one HTML document.

    Args:
        plan: plan.json; its "title", if there is one, heads the page.
        tables: name to table, as `tables.read_all` gives them.
        figures: name to SVG text.
        samples: what `collect_samples` returns.
        captions: name of a table or figure to its caption, paragraphs separated by a blank line.
        provenance: what `describe_run` returns.

    Raises:
        HeirloomError: a table or figure has no caption.
    """
    import jinja2
    from markupsafe import Markup

    missing = sorted((TABLES.keys() | FIGURES.keys()) - captions.keys())
    if missing:
        raise HeirloomError(f"no caption for {', '.join(missing)}: add report/captions/NAME.rst.")
    environment = jinja2.Environment(
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["tight"] = _tight
    template = environment.from_string(TEMPLATE.read_text(encoding="utf-8"))
    return template.render(
        study=plan["study"],
        title=plan.get("title") or f"Study {plan['study']}",
        headline=headline(plan, tables["changes"]),
        active=active_findings(plan, tables),
        passive=passive_findings(plan, tables["changes"]),
        objectives=plan["objectives"],
        flow=_flow(plan, tables),
        models=_models(plan),
        figures={name: Markup(svg) for name, svg in figures.items()},
        captions={name: text.split("\n\n") for name, text in captions.items()},
        main_changes=_main_changes(plan, tables["changes"]),
        views={name: _view(name, table) for name, table in tables.items()},
        downloads={
            name: "data:text/csv;charset=utf-8," + quote(to_csv(table))
            for name, table in tables.items()
        },
        samples=samples,
        limits=limits(plan, tables),
        provenance=provenance,
    )


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
    command: str,
) -> None:
    """Render the study in `results` from its written tables and figures to the file `out`.

    Args:
        results: the study's folder.
        tables: folder of the CSV files.
        figures: folder of the SVG files.
        captions: folder of the .rst captions.
        out: the HTML file.
        command: how to run the study again.
    """
    study = load_study(results)
    write_text(
        out,
        render(
            study.plan,
            read_all(tables),
            {name: _read(Path(figures) / f"{name}.svg") for name in FIGURES},
            collect_samples(study),
            load_captions(captions),
            describe_run(study.plan, command=command),
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


def describe_run(plan: Record, *, command: str) -> Record:
    """Command, git commit, checksum of the merged config and the versions of the packages."""
    config = json.dumps(plan["config"], sort_keys=True, ensure_ascii=False)
    versions = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            versions[package] = "not installed where the report was made"
    return {
        "command": command,
        "commit": _commit(),
        "config_sha256": hashlib.sha256(config.encode()).hexdigest(),
        "versions": versions,
    }


def _commit() -> str:
    try:
        found = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"],
            cwd=TEMPLATE.parent,
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return "unknown: not run from a git checkout with a commit"
    return found.stdout.strip()


def _flow(plan: Record, tables: Mapping[str, pd.DataFrame]) -> list[tuple[str, str, str]]:
    """Stage, number, explanation, from prompts to profiles."""
    pools, profiles = tables["candidates"], tables["profiles"]
    per_set = pools.groupby("prompts", sort=False)["n_prompts"].max()
    sets = plan["datasets"]
    kinds = [kind for kind in ("passive", "random", "best") if _selected(plan, kind)]
    names = students(plan)
    sizes = profiles.groupby("benchmark", sort=False)[["n", "n_missing"]].max().max(axis=1)
    k = sorted(set(pools["k"].astype(int)))
    return [
        (
            "Prompts",
            f"{int(per_set.sum()):,}",
            ", ".join(f"{int(n)} {name}" for name, n in per_set.items()),
        ),
        (
            "Candidates",
            f"{int(pools['n'].sum()):,}",
            f"k = {' or '.join(map(str, k))} a prompt from each of {listed(teachers(plan))}",
        ),
        (
            "Training sets",
            f"{len(sets)}",
            ", ".join(f"{_selected(plan, kind)} {kind}" for kind in kinds),
        ),
        ("Students", f"{len(names)}", f"finetuned from {listed(bases(plan))}"),
        (
            "Profiles",
            f"{len(plan['models'])}",
            ", ".join(f"{name} on {int(n)} examples" for name, n in sizes.items()),
        ),
    ]


def _selected(plan: Record, kind: str) -> int:
    return sum(data["selection"] == kind for data in plan["datasets"].values())


def _models(plan: Record) -> list[tuple[str, str]]:
    """Term and description for the list of models."""
    trained = students(plan)
    seeds = sorted({plan["models"][name]["seed"] for name in trained})
    return [
        ("Base models", listed(bases(plan))),
        ("Teachers", listed(teachers(plan))),
        ("Training seeds", listed([str(seed) for seed in seeds])),
        ("Benchmarks", listed(plan["benchmarks"])),
    ]


def collect_samples(study: Study) -> Record:
    """Completions to show: evenly spaced prompts, nothing picked by hand.

    Returns:
        {"evaluation": groups by benchmark, "training": groups by prompt set}; a group has a
        "name", whether it is "sensitive" (needs a content warning) and its "prompts".
    """
    return {
        "evaluation": [
            group
            for benchmark in study.plan["benchmarks"]
            if (group := _evaluation_samples(study, benchmark))["prompts"]
        ],
        "training": [
            _training_samples(study, prompts)
            for prompts in dict.fromkeys(
                data["prompts"] for data in study.plan["datasets"].values()
            )
        ],
    }


def _evaluation_samples(study: Study, benchmark: str) -> Record:
    plan = study.plan
    shown = _shown_models(plan, benchmark)
    records = {
        model: {record["id"]: record for record in study.records[model][benchmark]}
        for model in shown
    }
    texts = {key: text for split in study.prompts.values() for key, text in split.items()}
    ids = list(next(iter(records.values()), {}))
    return {
        "name": benchmark,
        "sensitive": benchmark == "toxicity",
        "prompts": [
            {
                "id": key,
                "text": texts.get(key, key),
                "answers": [
                    {"model": model, "role": role} | _answer(records[model][key], plan, benchmark)
                    for model, role in shown.items()
                    if key in records[model]
                ],
            }
            for key in _spread(ids)
        ],
    }


def _shown_models(plan: Record, benchmark: str) -> dict[str, str]:
    """Model to role: the first base, and the best students it has here with their controls.

    Per objective that this benchmark measures, the multi-source student if there is one.
    """
    steered: dict[str, str] = {}
    for name, objective in plan["objectives"].items():
        if objective["measured_by"].split(".", 1)[0] != benchmark:
            continue
        own = [
            student
            for student in students(plan)
            if plan["datasets"][plan["models"][student]["dataset"]]["objective"] == name
        ]
        own.sort(key=lambda s: len(plan["datasets"][plan["models"][s]["dataset"]]["teachers"]) < 2)
        if own:
            steered[own[0]] = f"best for {name}"
    if not steered:
        return {}
    base = plan["models"][next(iter(steered))]["base"]
    controls = [plan["models"][student]["control"] for student in steered]
    return {base: "base"} | {c: "random control" for c in controls if c} | steered


def _answer(record: Record, plan: Record, benchmark: str) -> Record:
    if "continuations" in record:
        worst = max(
            record["continuations"], key=lambda c: -1.0 if c["score"] is None else c["score"]
        )
        note = (
            f"highest of {count(len(record['continuations']), 'continuation')}: "
            f"{number(worst['score'])}"
        )
        return {"completion": _cut(worst["text"]), "note": note}
    values = [
        f"{label(metric)} {number(record[metric])}"
        for name, metric in main_metrics(plan)
        if name == benchmark and metric in record
    ]
    return {"completion": _cut(record.get("completion", "")), "note": " \u00b7 ".join(values)}


def _training_samples(study: Study, prompts: str) -> Record:
    plan = study.plan
    chosen: dict[tuple[str, str, int], list[str]] = {}
    for dataset, rows in study.training.items():
        if plan["datasets"][dataset]["prompts"] == prompts:
            for row in rows:
                key = (row["teacher"], row["prompt_id"], row["sample"])
                chosen.setdefault(key, []).append(dataset)
    pools = {teacher: pool for (teacher, name), pool in study.candidates.items() if name == prompts}
    ids = list(dict.fromkeys(row["prompt_id"] for pool in pools.values() for row in pool))
    metrics = list(
        dict.fromkeys(
            metric for pool in study.scores.items() if pool[0][1] == prompts for metric in pool[1]
        )
    )
    texts = study.prompts.get((prompts, "train"), {})
    return {
        "name": prompts,
        "sensitive": any(
            objective["metric"] == "toxicity" and objective["prompts"] == prompts
            for objective in plan["objectives"].values()
        ),
        "metrics": metrics,
        "prompts": [
            {
                "id": key,
                "text": texts.get(key, key),
                "candidates": [
                    {
                        "teacher": teacher,
                        "sample": row["sample"],
                        "completion": _cut(row["completion"]),
                        "cut": row["finish_reason"] == "length",
                        "scores": [
                            number(
                                study.scores[teacher, prompts]
                                .get(metric, {})
                                .get((key, row["sample"]))
                            )
                            for metric in metrics
                        ],
                        "chosen": chosen.get((teacher, key, row["sample"]), []),
                    }
                    for teacher, pool in pools.items()
                    for row in pool
                    if row["prompt_id"] == key
                ],
            }
            for key in _spread(ids)[:2]
        ],
    }


def _spread(ids: Sequence[str]) -> list[str]:
    """Evenly spaced ids: the first of each third."""
    count = min(_SHOWN_PROMPTS, len(ids))
    return [ids[index * len(ids) // count] for index in range(count)]


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST_COMPLETION else f"{text[:_LONGEST_COMPLETION]} [\u2026]"


def _main_changes(plan: Record, changes: pd.DataFrame) -> View:
    """The changes of the main metrics, with intervals in one cell."""
    headings = [
        ("Student", False),
        ("Metric", False),
        ("n", True),
        ("Base", True),
        ("Student value", True),
        ("Change vs base, %", True),
        ("n vs control", True),
        ("Change vs control, %", True),
    ]
    rows = []
    for benchmark, metric in main_metrics(plan):
        of_metric = changes[(changes["benchmark"] == benchmark) & (changes["metric"] == metric)]
        for row in rows_of(of_metric):
            rows.append(
                [
                    Cell(student_label(row.student, plan)),
                    Cell(label(metric)),
                    _cell(row.n),
                    _cell(row.base_value),
                    _cell(row.student_value),
                    _change(row.change_vs_base, row.change_vs_base_low, row.change_vs_base_high),
                    _cell(row.n_vs_control) if row.control else Cell("\u2013"),
                    _change(
                        row.change_vs_control,
                        row.change_vs_control_low,
                        row.change_vs_control_high,
                    ),
                ]
            )
    return View(headings, rows)


def _change(
    value: float, low: float, high: float, *, text: Callable[[float], str] = points
) -> Cell:
    """A change and its interval in one cell that sorts by the change; `text` formats all three."""
    if pd.isna(value):
        return Cell("\u2013")
    interval = "" if pd.isna(low) else f" [{text(low)}, {text(high)}]"
    return Cell(text(value) + interval, float(value))


def _view(name: str, table: pd.DataFrame) -> View:
    """Any table, cell by cell; the columns X, X_low and X_high become one."""
    columns = [
        str(column) for column in table.columns if not str(column).endswith(("_low", "_high"))
    ]
    text = set(table.columns) if name == "settings" else set(TEXT_COLUMNS)
    headings = [(_heading(column), column not in text) for column in columns]
    rows = []
    for record in table.to_dict("records"):
        row = []
        for column in columns:
            if column in text:
                row.append(Cell(str(record[column]) or "\u2013"))
            elif f"{column}_low" in record:
                ends = (record[f"{column}_low"], record[f"{column}_high"])
                text_of = points if column.startswith("change_") else signed
                row.append(_change(record[column], *ends, text=text_of))
            else:
                row.append(_cell(record[column]))
        rows.append(row)
    return View(headings, rows)


def _heading(column: str) -> str:
    text = _HEADINGS.get(column, column)
    for prefix, pattern in _PREFIXES.items():
        if column.startswith(prefix):
            text = pattern.format(column.removeprefix(prefix))
    text = text.replace("_", " ")
    return text if len(text) == 1 else text[0].upper() + text[1:]


def _cell(value: Any) -> Cell:
    return Cell("\u2013") if pd.isna(value) else Cell(number(value), float(value))
