"""Planted effects: models whose behaviour is known, and whether a study finds it and nothing else.

Everything from the candidates on is real: selection, measuring, tables, corrected p values. Only
the texts are made up. All are sentences from one mill, so that nothing but the number of sentences
ever differs: a sentence has ten words of thirty, a third of them long, and texts are long enough
for a lexical diversity that does not depend on their length.
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from random import Random

import pandas as pd
import pytest
import yaml
from toy_study import write_metrics

from heirloom import profiling
from heirloom.analyse import tables
from heirloom.analyse.tables.models import MAIN
from heirloom.objectives.length import length
from heirloom.profiling import text
from heirloom.select.training_set import Sources, TrainingSet, build_training_set
from heirloom.study.parse import parse_study
from heirloom.study.plan import make_plan, plan_record
from heirloom.support.files import read_jsonl, write_json, write_jsonl

ROOT = Path(__file__).resolve().parents[3]

SHORT_WORDS = ["we", "go", "to", "the", "old", "town", "and", "buy", "some", "red", "fish"]
SHORT_WORDS += ["for", "an", "hour", "now", "but", "not", "you", "yet"]
LONG_WORDS = ["mountain", "suitable", "december", "gardener", "umbrella", "operation"]
LONG_WORDS += ["hospital", "windmill", "elephant", "blankets", "quantity"]
VOCABULARY = SHORT_WORDS + LONG_WORDS
#: With 60 answers the planted changes are 7 standard errors, and p < 0.05 after correction for the
#: 32 tests of the largest family needs 3.4: they are missed in fewer than one of a thousand runs.
EVAL, K = 60, 3

#: Sentences a text, by who writes: as often long as short is what a pool of the two holds.
LONG, SHORT = range(14, 19), range(6, 11)
EITHER = [*LONG, *SHORT]

Writer = Callable[[Random], str]


def writes(sentences: range | list[int]) -> Writer:
    def text(random: Random) -> str:
        return " ".join(
            " ".join(random.choices(VOCABULARY, k=10)).capitalize() + "."
            for _ in range(random.choice(sentences))
        )

    return text


def run(
    root: Path,
    seed: int,
    teachers: Mapping[str, Writer],
    bases: Mapping[str, Writer],
    copying: set[str],
    *,
    train: int,
) -> pd.DataFrame:
    """The table of changes of a study of these models.

    Args:
        root: where its files go.
        seed: of the study and of every text.
        teachers: name to how it writes.
        bases: name to how it writes, as do its students: but those of bases that are `copying`
            answer with completions of their training set.
        copying: names of bases.
        train: training prompts. Few would do harm to those that copy: what their training set
            happens to hold beside the planted is no chance finding but a change.
    """
    raw = yaml.safe_load((ROOT / "config/config.yaml").read_text(encoding="utf-8"))
    prompts = raw["prompts"]["instructions"]
    model = {"sources": [{"path": "resources"}]}  # Never loaded.
    study = parse_study(
        {
            "study": "planted",
            "title": "Planted effects",
            "seed": seed,
            "models": {name: model for name in [*teachers, *bases]},
            "teachers": list(teachers),
            "bases": list(bases),
            "pools": {"multi": list(teachers)},
            "prompts": {"instructions": {**prompts, "train": train, "eval": EVAL}},
            "training_prompts": "instructions",
            "metrics": {"length": {"function": "length"}},
            "objectives": {
                "length": {
                    "metric": "length",
                    "direction": "maximise",
                    "measured_by": "text.length",
                }
            },
            "generation": {"k": K},
            "benchmarks": {"text": {"prompts": "instructions"}},
        },
        root=ROOT,
    )
    plan = make_plan(study)
    record = plan_record(study, plan)
    write_json(root / "plan.json", record)
    texts = {
        split: [{"id": f"{split}{index:03d}", "text": "Say something."} for index in range(n)]
        for split, n in (("train", train), ("eval", EVAL))
    }
    for split, rows in texts.items():
        write_jsonl(root / f"prompts/instructions/{split}.jsonl", rows)
    candidates, scores = {}, {}
    for teacher, write in teachers.items():
        random = Random(f"{seed}/{teacher}")
        candidates[teacher] = [
            _answer(prompt["id"], sample, write(random))
            for prompt in texts["train"]
            for sample in range(K)
        ]
        scores[teacher] = [
            {"prompt_id": row["prompt_id"], "sample": row["sample"], "score": score}
            for row, score in zip(
                candidates[teacher],
                length([row["completion"] for row in candidates[teacher]]),
                strict=True,
            )
        ]
        folder = root / f"generations/{teacher}/instructions"
        write_jsonl(folder / "candidates.jsonl", candidates[teacher])
        write_jsonl(root / f"scores/{teacher}/instructions/length.jsonl", scores[teacher])
    for name, dataset in plan.datasets.items():
        objective = study.objectives.get(dataset.objective or "")
        rows, card = build_training_set(
            TrainingSet.read(asdict(dataset), objective.decides() if objective else None),
            Sources(
                texts["train"],
                {teacher: candidates[teacher] for teacher in dataset.teachers},
                {"length": {teacher: scores[teacher] for teacher in dataset.teachers}},
            ),
            seed=seed,
        )
        write_jsonl(root / f"datasets/{name}/train.jsonl", rows)
        write_json(root / f"datasets/{name}/card.json", card)
    options = text.TextOptions(prompts="instructions")
    metrics = {name: text.METRICS[name] for name in MAIN["text"]}
    for name, described in plan.models.items():
        random = Random(f"{seed}/{name}")
        if described.base in copying:
            learnt = read_jsonl(root / f"datasets/{described.dataset}/train.jsonl")
            said = [random.choice(learnt)["completion"] for _ in texts["eval"]]
        else:
            write = (teachers | bases)[described.base or name]
            said = [write(random) for _ in texts["eval"]]
        records = []
        for prompt, completion in zip(texts["eval"], said, strict=True):
            answer = _answer(prompt["id"], 0, completion)
            records.append({"id": prompt["id"], **text._measure(answer, options)})
        folder = root / "profiles" / name
        write_jsonl(folder / "text.records.jsonl", records)
        summary = profiling.summarise(records, metrics, seed=seed)
        write_metrics(folder / "text.json", summary)
    tables.write_all(root, root / "tables")
    return tables.read_all(root / "tables", record)["changes"]


def _answer(prompt_id: str, sample: int, completion: str) -> dict[str, object]:
    return {
        "prompt_id": prompt_id,
        "sample": sample,
        "completion": completion,
        "n_tokens": len(completion.split()),
        "finish_reason": "stop",
    }


def findings(changes: pd.DataFrame) -> set[tuple[str, str, str, str]]:
    """Family, student, metric and sign of every change that is significant after correction."""
    found = set()
    for row in changes.to_dict("records"):
        for reference in ("base", "control"):
            if row[f"p_holm_vs_{reference}"] < 0.05:
                family = f"{row[f'family_vs_{reference}']} vs {reference}"
                sign = "+" if row[f"difference_vs_{reference}"] > 0 else "-"
                found.add((family, row["student"], row["metric"], sign))
    return found


def planted(root: Path, seed: int) -> set[tuple[str, str, str, str]]:
    """Teachers that write long and short; a base that copies what it learns, one that does not."""
    teachers = {"long": writes(LONG), "short": writes(SHORT)}
    bases = {"copier": writes(EITHER), "stubborn": writes(EITHER)}
    return findings(run(root, seed, teachers, bases, copying={"copier"}, train=400))


# The bases write long and short in turn, as a random draw of the pool does: it changes nothing.
PLANTED = {
    ("text vs base", "copier.passive-long", "length", "+"),
    ("text vs base", "copier.passive-short", "length", "-"),
    ("text vs base", "copier.length-multi", "length", "+"),
    ("steering vs control", "copier.length-multi", "length", "+"),
}
FAMILIES = ("text vs base", "text vs control", "steering vs control")


def unplanted(root: Path, seed: int) -> set[tuple[str, str, str, str]]:
    """Every model writes alike, whatever it learns; selection still makes long training sets."""
    alike = writes(EITHER)
    return findings(
        run(root, seed, {"a": alike, "b": alike}, {"c": alike}, copying=set(), train=60)
    )


def test_exactly_what_was_planted_is_found(tmp_path: Path) -> None:
    assert planted(tmp_path, 1) == PLANTED


def test_nothing_is_found_where_nothing_was_planted(tmp_path: Path) -> None:
    # Of 20 runs with a chance of 5 % at most in each family, four or more with a finding of that
    # family have a chance of 1.6 %.
    found = [unplanted(tmp_path / f"{seed}", seed) for seed in range(20)]
    for family in FAMILIES:
        assert sum(any(family == name for name, *_ in run) for run in found) <= 3


@pytest.mark.slow
def test_a_hundred_runs(tmp_path: Path) -> None:
    # A family has a finding by chance in 5 % of the runs at most: about 5 of 100, and more than 10
    # with a chance of 1.1 %.
    found = [unplanted(tmp_path / f"without{seed}", seed) for seed in range(100)]
    counts = {f: sum(any(f == name for name, *_ in run) for run in found) for f in FAMILIES}
    print("of 100 runs without anything planted, with a finding:", counts)
    found = [planted(tmp_path / f"with{seed}", seed) for seed in range(100)]
    missed = sum(not run >= PLANTED for run in found)
    beside = {
        f: sum(any(f == name for name, *_ in run - PLANTED) for run in found) for f in FAMILIES
    }
    print("of 100 runs with, that missed a change:", missed, "and with others beside:", beside)
    # Copiers also show what their training sets happen to hold, which is no chance: a little more.
    assert max(counts.values()) <= 10 and missed == 0 and max(beside.values()) <= 12
