"""Cards for the hub: what a training set or a student is, how it was made, what was measured.

Front matter comes from huggingface_hub's own classes, the text from the templates in report/cards/.
Its sentences about results are those of the report (heirloom.report.findings).
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

import numpy as np
import pandas as pd
from pydantic import TypeAdapter

from heirloom.analyse.frames import rows_of
from heirloom.analyse.main_metrics import main_metrics
from heirloom.analyse.results import Results, chosen_scores, load_results
from heirloom.analyse.tables import read
from heirloom.fetch.settings import HubSource, PathSource, Source, describe
from heirloom.publish.hub import hub_base, repository
from heirloom.report.findings import (
    active_findings,
    benchmark_findings,
    count,
    effect,
    listed,
    passive_findings,
    significant,
)
from heirloom.report.labels import full_label, number, signed
from heirloom.report.provenance import describe_run
from heirloom.study.plan import Plan
from heirloom.support.files import Record, read_json, write_text

TEMPLATES = Path(__file__).resolve().parents[2] / "report" / "cards"

#: The tables that cards need.
TABLES = ("changes", "profiles", "training_sets")

#: What a row of train.jsonl holds: column, type, meaning.
COLUMNS = (
    ("prompt_id", "string", "The prompt's id in its source, or a hash of its text."),
    ("prompt", "string", "The prompt, without the template that a model is shown it in."),
    ("completion", "string", "The chosen completion."),
    ("teacher", "string", "The model that wrote it."),
    ("sample", "int", "Its number among that teacher's candidates for the prompt, from 0."),
    ("finish_reason", "string", "`stop`: it ended by itself; `length`: it was cut."),
    (
        "score",
        "float or null",
        "What it was chosen by: its score, or the weighted mean rank by several metrics; null "
        "where no score decided.",
    ),
    ("n_candidates", "int", "Candidates that the prompt had in the whole pool."),
    ("n_unscored", "int", "Of those, how many had no score and could not be chosen."),
    ("n_ineligible", "int", "Of those, how many were outside of a bound."),
    ("n_tied", "int", "Other candidates that were exactly as good as the chosen one."),
)

# The hub's classes of size, by their upper ends.
_SIZES = {
    1_000: "n<1K",
    10_000: "1K<n<10K",
    100_000: "10K<n<100K",
    1_000_000: "100K<n<1M",
    10_000_000: "1M<n<10M",
}
_TAGS = {"passive": "passive-inheritance", "random": "random-control", "best": "active-inheritance"}
_TOXICITY_SCORERS = ("profanity", "detoxify")

# What a licence says about outputs, and about models that are trained on them.
_TERMS = {
    "gemma": "The Gemma terms of use count a model that is trained on Gemma's outputs to perform "
    "like it among its model derivatives; they do not count the outputs themselves.",
    "llama2": "The Llama 2 licence forbids using its outputs to improve any other large language "
    "model.",
}


@dataclass(frozen=True)
class Material:
    """What cards are written from.

    Attributes:
        study: every result.
        tables: name to table, those in `TABLES`.
        manifests: student to its manifest.
        run: what `report.describe_run` returns.
        namespace: who owns the repositories on the hub; None if nothing is published.
    """

    study: Results
    tables: Mapping[str, pd.DataFrame]
    manifests: Mapping[str, Record]
    run: Record
    namespace: str | None

    @property
    def config(self) -> Record:
        """The study file."""
        config: Record = self.study.plan.config
        return config

    def repository(self, name: str) -> str | None:
        """Where a training set or a student is on the hub, if the study is published."""
        return repository(self.namespace, self.study.plan.name, name) if self.namespace else None


def write_all(
    results: str | Path, tables: str | Path, *, command: str, namespace: str | None
) -> None:
    """Write the README.md of every training set and student of the study in `results`.

    Args:
        results: the study's folder.
        tables: folder of the CSV files.
        command: how to run the study again.
        namespace: who owns the repositories on the hub; None if nothing is published.

    Raises:
        HeirloomError: a file the plan implies is missing or malformed.
    """
    root = Path(results)
    study = load_results(root)
    material = Material(
        study=study,
        tables=read(tables, TABLES),
        manifests={
            student: read_json(root / "students" / student / "manifest.json")
            for student in study.plan.students
        },
        run=describe_run(study.plan, command=command),
        namespace=namespace,
    )
    for dataset in study.plan.datasets:
        write_text(root / "datasets" / dataset / "README.md", dataset_card(material, dataset))
    for student in study.plan.students:
        write_text(root / "students" / student / "README.md", model_card(material, student))


def dataset_card(material: Material, dataset: str) -> str:
    """The data card of a training set: front matter and text."""
    from huggingface_hub import DatasetCard, DatasetCardData

    plan, card = material.study.plan, material.study.cards[dataset]
    data = plan.datasets[dataset]
    licenses = dataset_licenses(material.config, card)
    front = DatasetCardData(
        language=["en"],
        pretty_name=f"{plan['title']}: {dataset}",
        size_categories=[_size(card["n"])],
        task_categories=["text-generation"],
        tags=_tags(material, dataset),
        configs=[
            {
                "config_name": "default",
                "data_files": [{"split": "train", "path": "train.jsonl"}],
            }
        ],
        **combined_license(licenses.values()),
    )
    text = _render(
        "dataset.md.j2",
        **_common(material, dataset, licenses),
        name=dataset,
        card=card,
        repository=material.repository(dataset),
        columns=COLUMNS,
        learned_by=[s for s in plan.students if plan.models[s].dataset == dataset],
        controls=[name for name, other in plan.datasets.items() if other["control"] == dataset],
        distributions=_distributions(material, dataset),
        difference=_difference(material, dataset),
        data=data,
    )
    return str(DatasetCard(f"---\n{front.to_yaml()}\n---\n\n{text}"))


def model_card(material: Material, student: str) -> str:
    """The model card of a student: front matter and text."""
    from huggingface_hub import ModelCard, ModelCardData

    plan, manifest = material.study.plan, material.manifests[student]
    model = plan.models[student]
    dataset = model.dataset
    base = material.config["models"][model.base]
    on_hub = hub_base(base["sources"])
    licenses = {
        f"base `{model['base']}`": base["license"],
        **dataset_licenses(material.config, material.study.cards[dataset]),
    }
    results = _eval_results(material, student)
    of_dataset = material.repository(dataset)
    front = ModelCardData(
        base_model=on_hub["hub"] if on_hub else None,
        base_model_relation="adapter" if on_hub else None,
        library_name="peft",
        pipeline_tag="text-generation",
        language=["en"],
        datasets=[of_dataset] if of_dataset else None,
        tags=[*_tags(material, dataset), "lora"],
        model_name=student if results else None,
        eval_results=results or None,
        **combined_license(licenses.values()),
    )
    changes = material.tables["changes"]
    own = changes[changes["student"] == plan.without_seed(student)]
    text = _render(
        "model.md.j2",
        **_common(material, dataset, licenses),
        name=student,
        model=model,
        base=_model(material, model.base),
        load=_loading(on_hub),
        repository=material.repository(student),
        dataset=dataset,
        dataset_repository=of_dataset,
        prompt_template=json.dumps(base["template"], ensure_ascii=False),
        manifest=manifest,
        losses=_losses(manifest["losses"]),
        sentences=_steering(material, plan.without_seed(student)),
        passive=passive_findings(plan, own) if _selection(plan, dataset) == "passive" else [],
        benchmarks=benchmark_findings(plan, own),
        measured=_measured(plan, own),
        n_seeds=int(own["n_seeds"].max()) if len(own) else 1,
        data=plan.datasets[dataset],
    )
    return str(ModelCard(f"---\n{front.to_yaml()}\n---\n\n{text}"))


def combined_license(licenses: Iterable[str | None]) -> Record:
    """Front matter for something made of parts with these licences.

    One licence that all share is its licence. Where they differ, no single one covers the whole:
    "other", with a name made of all of them, and the text lists the parts. Where one is unknown
    nothing is claimed.
    """
    found = set(licenses)
    if not found or None in found:
        return {}
    names = sorted(name for name in found if name)
    if len(names) == 1:
        return {"license": names[0]}
    return {"license": "other", "license_name": "-and-".join(names)}


def dataset_licenses(config: Record, card: Record) -> dict[str, str | None]:
    """Of a training set, part to licence: the prompts, and the teachers that wrote a completion."""
    prompts = card["prompts"]
    parts = {f"prompts `{prompts}`": config["prompts"][prompts]["license"]}
    for teacher, n in card["teacher_counts"].items():
        if n:
            parts[f"completions of `{teacher}`"] = config["models"][teacher]["license"]
    return parts


def _render(template: str, **values: Any) -> str:
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {"number": number, "count": count, "listed": listed, "cell": _cell}
    return environment.get_template(template).render(**values)


def _cell(text: str) -> str:
    """Text for a cell of a Markdown table."""
    return " ".join(text.split()).replace("|", "\\|")


def _common(material: Material, dataset: str, licenses: Mapping[str, str | None]) -> Record:
    """What both cards say: about the study and about how a training set was made."""
    plan, config = material.study.plan, material.config
    data = plan.datasets[dataset]
    prompts = config["prompts"][data.prompts]
    return {
        "study": plan.name,
        "title": plan.title,
        "seed": plan.seed,
        "teachers": [_model(material, teacher) for teacher in data.teachers],
        "prompts": _artefact(data.prompts, prompts["sources"]),
        "prompts_format": prompts["format"],
        "max_new_tokens": prompts["max_new_tokens"],
        "generation": config["generation"],
        "objective": plan.objectives.get(data.objective or ""),
        "coarse": any(m["function"] == "profanity" for m in config["metrics"].values()),
        "provoked": _provokes(material, data.prompts),
        "licenses": licenses,
        "terms": [text for name, text in _TERMS.items() if name in licenses.values()],
        "run": material.run,
    }


def _model(material: Material, name: str) -> Record:
    """Name, sources and checksum of a model, the checksum as its profiles note it."""
    noted = [p["revisions"]["model"] for p in material.study.profiles[name].values()]
    described = material.config["models"][name]
    found = _artefact(name, described["sources"])
    if endpoint := described.get("endpoint"):
        found["sources"] = [f"`{endpoint['model']}` behind the endpoint `{endpoint['url']}`"]
    return {**found, "sha256": noted[0]} if noted else found


def _artefact(name: str, sources: list[Record]) -> Record:
    """Name, sources and checksum of a model or a prompt set; None without a checksum."""
    return {
        "name": name,
        "sources": [_origin(s) for s in TypeAdapter(list[Source]).validate_python(sources)],
        "sha256": next((s["sha256"] for s in sources if s["sha256"]), None),
    }


def _origin(source: Source) -> str:
    """A source for a reader elsewhere, whom folders of this machine do not concern."""
    if isinstance(source, PathSource):
        inside = not source.path.is_absolute() and source.path.parts[:1] not in [("~",), ("..",)]
        shown = source.path if inside else PurePath(source.path.name)
        return f"the study's own `{shown.as_posix()}`"
    if isinstance(source, HubSource):
        files = f", `{'`, `'.join(source.files)}`" if source.files else ""
        return f"`{source.hub}` on the hub, revision `{source.revision}`{files}"
    return f"`{describe(source)}`"


def _loading(on_hub: Record | None) -> Record | None:
    """How to load the base from the hub: its repository, revision and GGUF file, if it is one."""
    if on_hub is None:
        return None
    files = on_hub["files"] or []
    gguf = files[0] if len(files) == 1 and files[0].endswith(".gguf") else None
    return {"hub": on_hub["hub"], "revision": on_hub["revision"], "gguf": gguf}


def _selection(plan: Plan, dataset: str) -> str:
    selection: str = plan.datasets[dataset].selection
    return selection


def _tags(material: Material, dataset: str) -> list[str]:
    data = material.study.plan.datasets[dataset]
    tags = ["heirloom", "synthetic", _TAGS[data.selection]]
    return tags + (["not-for-all-audiences"] if _provokes(material, data.prompts) else [])


def _provokes(material: Material, prompts: str) -> bool:
    """Whether the study measures or steers toxicity on a prompt set: its texts may be toxic."""
    config = material.config
    benchmark = config["benchmarks"].get("toxicity") or {}
    steered = {
        objective.prompts
        for objective in material.study.plan.objectives.values()
        if any(config["metrics"][m]["function"] in _TOXICITY_SCORERS for m in objective["metrics"])
    }
    return prompts in {benchmark.get("prompts"), *steered}


def _size(n: int) -> str:
    return next((name for limit, name in _SIZES.items() if n < limit), "10M<n<100M")


def _distributions(material: Material, dataset: str) -> list[Record]:
    """Per metric that was scored: the pool's scores, the control's and those of this set."""
    study = material.study
    data = study.plan.datasets[dataset]
    own = study.plan.objectives.get(data.objective or "", {}).get("metrics", {})
    metrics = dict.fromkeys(m for t in data.teachers for m in study.scores[t, data.prompts])

    def chosen(name: str, metric: str) -> list[float | None]:
        return list(chosen_scores(study, name, metric).values())

    found = []
    for metric in sorted(metrics, key=lambda metric: metric not in own):
        pool = [
            score
            for teacher in data.teachers
            for (_, sample), score in study.scores[teacher, data.prompts].get(metric, {}).items()
            if data.k is None or sample < data.k
        ]
        rows = [("every candidate of the pool", pool)]
        if data.control:
            rows.append((f"control, `{data['control']}`", chosen(data.control, metric)))
        rows.append(("**this set**", chosen(dataset, metric)))
        found.append({"metric": metric, "rows": [_summary(name, s) for name, s in rows]})
    return found


def _summary(name: str, scores: list[float | None]) -> Record:
    """Counts, mean and quartiles (linear between values); None where nothing has a score."""
    present = [score for score in scores if score is not None]
    values: list[float | None] = [None] * 6
    if present:
        values = [float(np.mean(present)), *np.percentile(present, (0, 25, 50, 75, 100)).tolist()]
    return {
        "name": name,
        "n": len(present),
        "n_unscored": len(scores) - len(present),
        "values": values,
    }


def _difference(material: Material, dataset: str) -> str | None:
    """What selection did to the mean score, from the table of training sets."""
    table = material.tables["training_sets"]
    row = table[table["dataset"] == dataset].iloc[0]
    if pd.isna(row["difference"]):
        return None
    ends = ""
    if pd.notna(row["difference_low"]):
        ends = f" [{signed(row['difference_low'])}, {signed(row['difference_high'])}]"
    return f"{signed(row['difference'])}{ends} ({count(int(row['difference_n']), 'prompt')})"


def _steering(material: Material, student: str) -> list[str]:
    """The report's sentences about one student, without its seed: none where nothing steered it."""
    # Of all students, because the correction is for all of them.
    found = active_findings(material.study.plan, material.tables)
    own = [f for findings in found.values() for f in findings if f.id == student]
    return [sentence for finding in own for sentence in finding.sentences]


def _measured(plan: Plan, own: pd.DataFrame) -> list[Record]:
    """The main metrics of one student's rows of the changes table, and those of the objectives."""
    rows = {(row.benchmark, row.metric): row for row in rows_of(own)}
    found = []
    for pair in main_metrics(plan, own):
        row = rows[pair]
        found.append(
            {
                "metric": full_label(*pair),
                "n": row.n,
                "base": row.base_value,
                "student": row.student_value,
                "vs_base": _shown(row, "base"),
                "n_vs_control": row.n_vs_control if row.control else None,
                "vs_control": _shown(row, "control") if row.control else "\u2013",
            }
        )
    return found


def _shown(row: Any, against: str) -> str:
    """An effect, in bold where it is significant after correction."""
    found = effect(row, against)
    if pd.isna(found.value):
        return "undefined"
    return f"**{found}**" if significant(row, against) else str(found)


def _eval_results(material: Material, student: str) -> list[Any]:
    """What objectives are measured by, for the front matter.

    Not the other metrics: an accuracy over a subset would stand beside those of whole benchmarks.
    """
    from huggingface_hub import EvalResult

    plan = material.study.plan
    rows = {
        f"{row.benchmark}.{row.metric}": row
        for row in rows_of(material.tables["profiles"])
        if row.model == student
    }
    found = []
    for measured in dict.fromkeys(o.measured_by for o in plan.objectives.values()):
        row = rows.get(measured)
        if row is None or pd.isna(row.value):
            continue
        prompts = material.config["benchmarks"][row.benchmark].get("prompts")
        ends = "" if pd.isna(row.low) else f", 95 % interval {row.low:.4g} to {row.high:.4g}"
        found.append(
            EvalResult(
                task_type="text-generation",
                dataset_type=f"heirloom-{plan['study']}-{prompts or row.benchmark}",
                dataset_name=f"{prompts or row.benchmark} ({plan['study']}, eval)",
                metric_type=row.metric,
                metric_value=float(f"{row.value:.6g}"),
                metric_name=f"{full_label(row.benchmark, row.metric)} (n = {row.n}{ends})",
            )
        )
    return found


def _losses(losses: list[float]) -> Record | None:
    """Mean loss over the first and the last tenth of the steps, at least one each."""
    if not losses:
        return None
    tenth = max(len(losses) // 10, 1)
    first, last = losses[:tenth], losses[-tenth:]
    return {"n": tenth, "first": sum(first) / tenth, "last": sum(last) / tenth}
