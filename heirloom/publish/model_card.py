"""Model card of a student, in the format of the Hugging Face hub.

Sentences about results are those of the report (`heirloom.report.findings`).
"""

from typing import Any, Literal

import pandas as pd

from heirloom.analyse.effects import Reference, effect
from heirloom.analyse.frames import rows_of
from heirloom.analyse.main_metrics import main_metrics
from heirloom.fetch.settings import HubSource
from heirloom.finetune.methods import METHODS
from heirloom.profiling.labels import full_label
from heirloom.publish.hub import hub_base
from heirloom.publish.licences import combined_license, student_licenses
from heirloom.publish.material import Material, model_origin, quoted, render, shared_values, tags
from heirloom.report.cells import truncated_cell
from heirloom.report.findings.active import active_findings
from heirloom.report.findings.benchmarks import benchmark_findings, passive_findings
from heirloom.report.findings.significance import significant
from heirloom.report.names import source_text
from heirloom.report.wording import effect_text
from heirloom.study.plan import Plan
from heirloom.support.files import Record

#: The adapter itself, or what an export has made of it.
Form = Literal["adapter", "merged", "gguf"]
# By form: the library that loads it, and how it relates to its base, in the hub's words.
_ON_THE_HUB = {
    "adapter": ("peft", "adapter"),
    "merged": ("transformers", "finetune"),
    "gguf": ("gguf", "quantized"),
}


def model_card(material: Material, student: str, form: Form = "adapter") -> str:
    """Return the model card of a student, in one of its forms: front matter and text."""
    from huggingface_hub import ModelCard, ModelCardData

    plan, model = material.plan, material.plan.models[student]
    dataset, method = model.trained_on, METHODS.get(model.trained_by)
    base = material.study.models[model.artefact]
    on_hub = None if base.base else hub_base(base.sources)
    licenses = student_licenses(material.study, model, material.results.cards[dataset])
    results = _eval_results(material, student)
    of_dataset = material.repository(dataset)
    library, relation = _ON_THE_HUB[form]
    front = ModelCardData(
        base_model=on_hub.hub if on_hub else None,
        base_model_relation=relation if on_hub else None,
        library_name=library,
        pipeline_tag="text-generation",
        language=[material.language(dataset)],
        datasets=[of_dataset] if of_dataset else None,
        tags=[*tags(material, dataset), method.name],
        model_name=student if results else None,
        eval_results=results or None,
        **combined_license(licenses.values()),
    )
    text = render(
        "model.md.j2",
        **shared_values(material, dataset, licenses),
        name=student,
        form=form,
        model=model,
        method=method,
        dataset=dataset,
        chosen_from=source_text(student, plan),
        dataset_repository=of_dataset,
        # Exports are not pushed.
        repository=material.repository(student) if form == "adapter" else None,
        load=_loading(on_hub),
        **_training(material, student),
        **_findings(material, plan.without_seed(student), dataset),
    )
    return str(ModelCard(f"---\n{front.to_yaml()}\n---\n\n{text}"))


def _loading(on_hub: HubSource | None) -> Record | None:
    """Repository, revision and GGUF file, if there is one, to load a base from the hub."""
    if on_hub is None:
        return None
    files = on_hub.files or []
    gguf = files[0] if len(files) == 1 and files[0].endswith(".gguf") else None
    return {"hub": on_hub.hub, "revision": on_hub.revision, "gguf": gguf}


def _training(material: Material, student: str) -> Record:
    """Template variables about a student's base and its training."""
    base = material.plan.models[student].artefact
    manifest = material.manifests[student]
    return {
        "base": model_origin(material, base),
        "prompt_template": quoted(material.study.models[base].template),
        "manifest": manifest,
        "losses": _losses(manifest["losses"]),
    }


def _losses(losses: list[float]) -> Record | None:
    """Mean loss over the first and the last tenth of the steps, at least one step each."""
    if not losses:
        return None
    tenth = max(len(losses) // 10, 1)
    first, last = losses[:tenth], losses[-tenth:]
    return {"n": tenth, "first": sum(first) / tenth, "last": sum(last) / tenth}


def _findings(material: Material, student: str, dataset: str) -> Record:
    """Template variables about the results of a student, all its seeds together."""
    plan = material.plan
    changes = material.tables["changes"]
    own = changes[changes["student"] == student]
    passive = plan.datasets[dataset].selection == "passive"
    # Of all students, because the correction is for all of them.
    steered = active_findings(plan, material.tables)
    sentences = [
        sentence
        for findings in steered.values()
        for finding in findings
        if finding.id == student
        for sentence in finding.sentences
    ]
    return {
        "sentences": sentences + (passive_findings(plan, own) if passive else []),
        "benchmarks": benchmark_findings(plan, own),
        "measured": _measured(plan, own),
        "n_seeds": int(own["n_seeds"].max()) if len(own) else 1,
    }


def _measured(plan: Plan, own: pd.DataFrame) -> list[Record]:
    """Rows of the changes table of one student: main metrics and those of the objectives."""
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
                "truncated": truncated_cell(row).text,
            }
        )
    return found


def _shown(row: Any, against: Reference) -> str:
    """An effect, in bold where it is significant after correction."""
    found = effect(row, against)
    if pd.isna(found.value):
        return "undefined"
    text = effect_text(found)
    return f"**{text}**" if significant(row, against) else text


def _eval_results(material: Material, student: str) -> list[Any]:
    """Values of the metrics that objectives are measured by, for the front matter.

    Other metrics are left out: an accuracy on a subset would be listed on the hub next to
    accuracies on whole benchmarks.
    """
    from huggingface_hub import EvalResult

    plan = material.plan
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
        data = getattr(plan.study.benchmarks[row.benchmark], "prompts", None) or row.benchmark
        ends = "" if pd.isna(row.low) else f", 95 % interval {row.low:.4g} to {row.high:.4g}"
        found.append(
            EvalResult(
                task_type="text-generation",
                dataset_type=f"heirloom-{plan.name}-{data}",
                dataset_name=f"{data} ({plan.name}, eval)",
                metric_type=row.metric,
                metric_value=float(f"{row.value:.6g}"),
                metric_name=f"{full_label(row.benchmark, row.metric)} (n = {row.n}{ends})",
            )
        )
    return found
