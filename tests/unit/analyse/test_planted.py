"""Planted effects: a study of models whose behaviour is known finds it and nothing else.

Everything from the candidates on is real: selection, measuring, tables, corrected p values. Only
the completions are made up. All are sentences from one mill, so that nothing but the number of
sentences ever differs: a sentence has ten words of thirty, a third of them long, and completions
are long enough for a lexical diversity that does not depend on their length.
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from random import Random

import pandas as pd
import pytest
import yaml
from toy_study import write_metrics

from heirloom.analyse.tables import read, write_tables
from heirloom.analyse.tables.inherited import NEITHER, TOWARDS
from heirloom.objectives.length import length
from heirloom.profiling import BENCHMARKS, summarise, text
from heirloom.select.training_set import Sources, TrainingSet, build_training_set
from heirloom.study.parse import parse_study
from heirloom.study.paths import Paths
from heirloom.study.plan import Plan, make_plan
from heirloom.support.files import Record, read_jsonl, write_json, write_jsonl

ROOT = Path(__file__).resolve().parents[3]

SHORT_WORDS = ["we", "go", "to", "the", "old", "town", "and", "buy", "some", "red", "fish"]
SHORT_WORDS += ["for", "an", "hour", "now", "but", "not", "you", "yet"]
LONG_WORDS = ["mountain", "suitable", "december", "gardener", "umbrella", "operation"]
LONG_WORDS += ["hospital", "windmill", "elephant", "blankets", "quantity"]
VOCABULARY = SHORT_WORDS + LONG_WORDS
#: With 60 answers the planted changes are 7 standard errors, and p < 0.05 after correction for the
#: 32 tests of the largest family needs 3.4: they are missed in fewer than one of a thousand runs.
EVAL, K = 60, 3

#: Sentences per completion: as often long as short is what a pool of the two holds.
LONG, SHORT = range(14, 19), range(6, 11)
EITHER = [*LONG, *SHORT]

Writer = Callable[[Random], str]


def generates(sentences: range | list[int]) -> Writer:
    """A model whose completions have one of these numbers of sentences."""

    def complete(random: Random) -> str:
        return " ".join(
            " ".join(random.choices(VOCABULARY, k=10)).capitalize() + "."
            for _ in range(random.choice(sentences))
        )

    return complete


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
        root: Folder of its results.
        seed: Seed of the study and of every completion.
        teachers: Name to what generates.
        bases: Name to what generates, for its students as well: but those of bases that are
            `copying` answer with completions of their training set.
        copying: Names of bases.
        train: Number of training prompts. Few would harm those that copy: what their training set
            happens to hold besides the planted is no chance finding but a change.
    """
    plan = planned(seed, list(teachers), list(bases), train)
    plan.write(root / "plan.json")
    paths = Paths(str(root))
    prompts = [{"id": f"train{index:03d}", "text": "Say something."} for index in range(train)]
    write_training_sets(paths, plan, prompts, teachers)
    for name, model in plan.models.items():
        random = Random(f"{seed}/{name}")
        if model.base in copying:
            learnt = read_jsonl(paths.dataset(model.trained_on, "train.jsonl"))
            said = [random.choice(learnt)["completion"] for _ in range(EVAL)]
        else:
            generate = (teachers | bases)[model.base or name]
            said = [generate(random) for _ in range(EVAL)]
        write_profile(paths, name, said, seed)
    write_tables(root)
    return read(root / "tables", ["changes"])["changes"]


def planned(seed: int, teachers: list[str], bases: list[str], train: int) -> Plan:
    """The plan of a study that selects the longest completion and measures their style."""
    raw = yaml.safe_load((ROOT / "config/config.yaml").read_text(encoding="utf-8"))
    prompts = raw["prompts"]["instructions"]
    model = {"sources": [{"path": "resources"}]}  # Never loaded.
    study = parse_study(
        {
            "study": "planted",
            "title": "Planted effects",
            "seed": seed,
            "models": {name: model for name in [*teachers, *bases]},
            "teachers": teachers,
            "bases": bases,
            "pools": {"multi": teachers},
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
            "generate": {"k": K},
            "profiling": {"text": {"prompts": "instructions"}},
        },
        root=ROOT,
    )
    return make_plan(study)


def write_training_sets(
    paths: Paths, plan: Plan, prompts: list[Record], teachers: Mapping[str, Writer]
) -> None:
    """Generate and score candidates, and select every training set from them."""
    candidates, scores = {}, {}
    for teacher, generate in teachers.items():
        random = Random(f"{plan.seed}/{teacher}")
        candidates[teacher] = [
            _answer(prompt["id"], sample, generate(random))
            for prompt in prompts
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
        write_jsonl(paths.candidates(teacher, "instructions"), candidates[teacher])
        write_jsonl(paths.scores(teacher, "instructions", "length"), scores[teacher])
    for name, dataset in plan.datasets.items():
        objective = plan.objectives.get(dataset.objective or "")
        rows, card = build_training_set(
            TrainingSet.read(
                asdict(dataset), objective.decides() if objective else None, truncated=True
            ),
            Sources(
                prompts,
                {teacher: candidates[teacher] for teacher in dataset.teachers},
                {"length": {teacher: scores[teacher] for teacher in dataset.teachers}},
            ),
            seed=plan.seed,
        )
        write_jsonl(paths.dataset(name, "train.jsonl"), rows)
        write_json(paths.dataset(name, "card.json"), card)


def write_profile(paths: Paths, model: str, completions: list[str], seed: int) -> None:
    """Measure the style of a model's completions, one per eval prompt."""
    options = text.TextOptions(prompts="instructions")
    records = []
    for index, completion in enumerate(completions):
        answer = _answer(f"eval{index:03d}", 0, completion)
        records.append({"id": answer["prompt_id"], **text._measure(answer, options, "en")})
    write_jsonl(paths.records(model, "text"), records)
    metrics = {name: text.METRICS[name] for name in BENCHMARKS.get("text").main}
    summary = summarise(records, metrics, seed=seed)
    write_metrics(Path(paths.profile(model, "text")), summary)


def _answer(prompt_id: str, sample: int, completion: str) -> Record:
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
    """Teachers of long and short completions; a base that copies them, and one that does not."""
    teachers = {"long": generates(LONG), "short": generates(SHORT)}
    bases = {"copier": generates(EITHER), "stubborn": generates(EITHER)}
    return findings(run(root, seed, teachers, bases, copying={"copier"}, train=400))


# The bases answer long and short in turn, as a random draw of the pool does: it changes nothing.
PLANTED = {
    ("text vs base", "copier.passive-long", "length", "+"),
    ("text vs base", "copier.passive-short", "length", "-"),
    ("text vs base", "copier.length-multi", "length", "+"),
    ("steering vs control", "copier.length-multi", "length", "+"),
}
FAMILIES = ("text vs base", "text vs control", "steering vs control")


def unplanted(root: Path, seed: int) -> set[tuple[str, str, str, str]]:
    """Every model answers alike, whatever its training; training sets are long nevertheless."""
    alike = generates(EITHER)
    return findings(
        run(root, seed, {"a": alike, "b": alike}, {"c": alike}, copying=set(), train=60)
    )


def test_exactly_what_was_planted_is_found(tmp_path: Path) -> None:
    assert planted(tmp_path, 1) == PLANTED
    table = read(tmp_path / "tables", ["inherited"])["inherited"]
    rows = table[table["metric"] == "length"].set_index(["student", "teacher"])
    # A copier of one teacher is where that teacher is, one of both at random between them, where
    # its base was; who copies nothing stays at its base.
    for student, teacher, position, moved in (
        ("copier.passive-long", "long", 1, TOWARDS),
        ("copier.passive-short", "short", 1, TOWARDS),
        ("copier.random-multi", "long", 0, NEITHER),
        ("copier.random-multi", "short", 0, NEITHER),
        ("stubborn.passive-long", "long", 0, NEITHER),
    ):
        row = rows.loc[(student, teacher)]
        assert row.coefficient_low <= position <= row.coefficient_high and row.moved == moved


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
    others = {
        f: sum(any(f == name for name, *_ in run - PLANTED) for run in found) for f in FAMILIES
    }
    print("of 100 runs with, that missed a change:", missed, "and with others besides:", others)
    # Copiers also show what their training sets happen to hold, which is no chance: a little more.
    assert max(counts.values()) <= 10 and missed == 0 and max(others.values()) <= 12
