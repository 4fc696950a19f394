"""Data card of a training set, in the format of the Hugging Face hub."""

import numpy as np
import pandas as pd

from heirloom.analyse.results import chosen_scores
from heirloom.generate.request import UNANSWERED
from heirloom.publish.licences import combined_license, dataset_licenses
from heirloom.publish.material import Material, render, shared_values, tags
from heirloom.report.user_text import visible
from heirloom.report.wording import count, interval, signed
from heirloom.support.files import Record

#: Columns of train.jsonl: name, type, meaning.
COLUMNS = (
    ("prompt_id", "string", "Id of the prompt in its source, or a hash of its text."),
    ("prompt", "string", "The prompt, without any model's chat template."),
    ("completion", "string", "The selected completion."),
    ("teacher", "string", "The model that generated it."),
    ("sample", "int", "Index among that teacher's candidates for the prompt, from 0."),
    ("finish_reason", "string", "`stop`: the model ended the text; `length`: it was truncated."),
    (
        "score",
        "float or null",
        "Score that the completion was selected by, or its weighted mean rank if several metrics "
        "decide; null if no score decided.",
    ),
    ("n_candidates", "int", "Number of candidates for the prompt in the whole pool."),
    ("n_excluded", "int", "Of those, the truncated candidates, which could not be selected."),
    ("n_unscored", "int", "Of those, the candidates without a score, which cannot be selected."),
    ("n_ineligible", "int", "Of those, the candidates outside a bound of the objective."),
    ("n_tied", "int", "Number of other candidates exactly as good as the selected one."),
)

#: Types of the hub's library. Without them it infers each from the first rows, which may be null.
_DTYPES = {"string": "string", "int": "int64", "float or null": "float64"}

#: Upper end, exclusive, to the hub's class of size.
_SIZES = {
    1_000: "n<1K",
    10_000: "1K<n<10K",
    100_000: "10K<n<100K",
    1_000_000: "100K<n<1M",
    10_000_000: "1M<n<10M",
}


def dataset_card(material: Material, dataset: str) -> str:
    """Return the data card of a training set: front matter and text."""
    from huggingface_hub import DatasetCard, DatasetCardData

    plan, card = material.plan, material.results.cards[dataset]
    licenses = dataset_licenses(material.study, card)
    front = DatasetCardData(
        language=[material.language(dataset)],
        pretty_name=f"{visible(plan.title)}: {dataset}",
        size_categories=[size_class(card["n"])],
        task_categories=["text-generation"],
        tags=tags(material, dataset),
        configs=[
            {
                "config_name": "default",
                "data_files": [{"split": "train", "path": "train.jsonl"}],
            }
        ],
        dataset_info={
            "features": [{"name": name, "dtype": _DTYPES[kind]} for name, kind, _ in COLUMNS]
        },
        **combined_license(licenses.values()),
    )
    text = render(
        "dataset.md.j2",
        **shared_values(material, dataset, licenses),
        name=dataset,
        card=card,
        repository=material.repository(dataset),
        columns=COLUMNS,
        unanswered=UNANSWERED,
        students=[name for name, model in plan.students.items() if model.dataset == dataset],
        control_of=[name for name, other in plan.datasets.items() if other.control == dataset],
        distributions=_distributions(material, dataset),
        difference=_difference(material, dataset),
    )
    return str(DatasetCard(f"---\n{front.to_yaml()}\n---\n\n{text}"))


def size_class(n: int) -> str:
    """Return the hub's class of size for a training set of `n` examples."""
    return next((name for limit, name in _SIZES.items() if n < limit), "10M<n<100M")


def _distributions(material: Material, dataset: str) -> list[Record]:
    """Scores of the pool, of the control and of this set, for every metric that was scored."""
    results = material.results
    plan = material.plan
    data = plan.datasets[dataset]
    own = plan.objectives[data.objective].criteria if data.objective else {}
    metrics = dict.fromkeys(m for t in data.teachers for m in results.scores[t, data.prompts])

    def chosen(name: str, metric: str) -> list[float | None]:
        return list(chosen_scores(results, name, metric).values())

    found = []
    for metric in sorted(metrics, key=lambda metric: metric not in own):
        pool = [
            score
            for teacher in data.teachers
            for (_, sample), score in results.scores[teacher, data.prompts].get(metric, {}).items()
            if data.k is None or sample < data.k
        ]
        rows = [("all candidates of the pool", pool)]
        if data.control:
            rows.append((f"control, `{data.control}`", chosen(data.control, metric)))
        rows.append(("**this set**", chosen(dataset, metric)))
        found.append({"metric": metric, "rows": [_summary(name, s) for name, s in rows]})
    return found


def _summary(name: str, scores: list[float | None]) -> Record:
    """Counts, mean and quartiles (linear interpolation); None where nothing has a score."""
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
    """Difference of the mean score from the control's, with its interval; None if there is none."""
    table = material.tables["training_sets"]
    row = table[table["dataset"] == dataset].iloc[0]
    if pd.isna(row["difference"]):
        return None
    ends = interval(row["difference_low"], row["difference_high"], signed)
    return f"{signed(row['difference'])}{ends} ({count(int(row['difference_n']), 'prompt')})"
