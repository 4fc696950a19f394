"""A study small enough to compute by hand, in the layout that the workflow writes.

Students of the base `alpha`; teachers alpha and beta; k = 2. Every number the tests expect is
derived from the lists below.
"""

from pathlib import Path

import numpy as np
import pytest

from heirloom.profiling import BENCHMARKS, summarise
from heirloom.profiling.compare_answers import Answers, verdict
from heirloom.profiling.data.preferences import Pair
from heirloom.profiling.judge import measure
from heirloom.profiling.profile import Profile
from heirloom.study.config import study_type
from heirloom.study.contests import contests
from heirloom.study.paths import Paths
from heirloom.study.plan import Dataset, Model, Plan
from heirloom.support.files import write_json, write_jsonl

OBJECTIVES = {
    "length": {"metric": "length", "direction": "maximise", "measured_by": "text.length"},
    "toxicity": {
        "metric": "toxicity",
        "direction": "minimise",
        "measured_by": "toxicity.emt",
        "prompts": "provoking",
        "pools": ["multi"],
    },
}
STUDY = {
    "study": "toy",
    "title": "What toys inherit",
    "seed": 1,
    "models": {"alpha": {"sources": [{"path": "a"}]}, "beta": {"sources": [{"path": "b"}]}},
    "teachers": ["alpha", "beta"],
    "bases": ["alpha"],
    "pools": {"multi": ["alpha", "beta"]},
    "prompts": {
        "instructions": {
            "sources": [{"path": "i"}], "train": 2, "eval": 4, "max_new_tokens": 60
        },
        "provoking": {
            "sources": [{"path": "p"}],
            "format": "continuation",
            "train": 2,
            "eval": 2,
            "max_new_tokens": 60,
        },
    },
    "training_prompts": "instructions",
    "metrics": {"length": {"function": "length"}, "toxicity": {"function": "profanity"}},
    "objectives": OBJECTIVES,
    "generate": {"k": 2},
    "profiling": {
        "text": {"prompts": "instructions"},
        "toxicity": {"prompts": "provoking", "metric": "toxicity"},
    },
}  # fmt: skip


def _dataset(name, selection, pool, prompts, objective=None, control=None, k=None):
    teachers = ("alpha", "beta") if pool == "multi" else (pool,)
    return Dataset(name, selection, pool, teachers, prompts, objective, control, k=k)


def _by_id(*datasets):
    return {dataset.id: dataset for dataset in datasets}


DATASETS = _by_id(
    _dataset("passive-alpha", "passive", "alpha", "instructions"),
    _dataset("random-multi", "random", "multi", "instructions"),
    _dataset("length-alpha", "best", "alpha", "instructions", "length", "passive-alpha"),
    _dataset("length-multi", "best", "multi", "instructions", "length", "random-multi"),
    _dataset("random-provoking-multi", "random", "multi", "provoking"),
    _dataset(
        *("toxicity-multi", "best", "multi", "provoking", "toxicity", "random-provoking-multi")
    ),
)

# The wide study alone: from the first candidate of each teacher, a second random draw, and one that
# differs from another in nothing but its teacher.
WIDE = _by_id(
    _dataset("length-multi-k1", "best", "multi", "instructions", "length", "random-multi", k=1),
    Dataset(
        *("random-multi-redraw", "redraw", "multi", ("alpha", "beta"), "instructions"),
        prompts_of="random-multi",
    ),
    _dataset("passive-beta", "passive", "beta", "instructions"),
)

# length of e1..e4, mtld of e1..e4, emt of t1, t2 for every model.
RECORDS = {
    "alpha": ([10, 20, 30, 40], [50.0, 60.0, 70.0, 80.0], [0.4, 0.6]),
    "beta": ([40, 40, 40, 40], [90.0, 90.0, 90.0, 90.0], [0.1, 0.1]),
    "alpha.passive-alpha.s1": ([12, 22, 32, 44], [50.0, 60.0, 70.0, 80.0], [0.5, 0.7]),
    "alpha.random-multi.s1": ([15, 25, 35, 45], [55.0, 65.0, 75.0, 85.0], [0.4, 0.4]),
    "alpha.length-alpha.s1": ([14, 24, 34, 48], [40.0, 60.0, 70.0, 80.0], [0.4, 0.6]),
    "alpha.length-multi.s1": ([20, 30, 40, 60], [60.0, 70.0, 80.0, None], [0.3, 0.6]),
    "alpha.random-provoking-multi.s1": ([10, 20, 30, 40], [50.0, 60.0, 70.0, 80.0], [0.5, 0.5]),
    "alpha.toxicity-multi.s1": ([10, 20, 30, 40], [50.0, 60.0, 70.0, 80.0], [0.2, 0.4]),
}
WIDE_RECORDS = {
    "alpha.length-multi-k1.s1": ([15, 25, 30, 50], [50.0, 60.0, 70.0, 80.0], [0.4, 0.6]),
    "alpha.random-multi-redraw.s1": ([18, 25, 34, 47], [55.0, 65.0, 75.0, None], [0.4, 0.4]),
    "alpha.passive-beta.s1": ([18, 28, 38, 48], [55.0, 65.0, 75.0, 85.0], [0.3, 0.5]),
}

# Answers that reached the token limit, of e1..e4; all others ended by themselves.
TRUNCATED = {"alpha.length-multi.s1": [0, 0, 0, 1]}

# (teacher, prompts) -> prompt -> two candidates: words, finish reason, toxicity.
CANDIDATES = {
    ("alpha", "instructions"): {
        "p1": [(10, "stop", 0.0), (20, "stop", 0.1)],
        "p2": [(30, "length", 0.2), (30, "stop", 0.3)],
    },
    ("beta", "instructions"): {
        "p1": [(40, "length", 0.0), (5, "stop", None)],
        "p2": [(0, "stop", None), (25, "stop", 0.1)],
    },
    ("alpha", "provoking"): {
        "q1": [(8, "stop", 0.9), (8, "stop", 0.2)],
        "q2": [(9, "stop", 0.6), (9, "stop", None)],
    },
    ("beta", "provoking"): {
        "q1": [(6, "stop", 0.5), (6, "stop", 0.4)],
        "q2": [(7, "stop", 0.8), (7, "stop", 0.3)],
    },
}

# data set -> prompt -> teacher, sample.
CHOSEN = {
    "passive-alpha": {"p1": ("alpha", 0), "p2": ("alpha", 0)},
    "passive-beta": {"p1": ("beta", 0), "p2": ("beta", 1)},
    "random-multi": {"p1": ("alpha", 1), "p2": ("beta", 1)},
    "length-alpha": {"p1": ("alpha", 1), "p2": ("alpha", 0)},
    "length-multi": {"p1": ("beta", 0), "p2": ("alpha", 0)},
    "length-multi-k1": {"p1": ("beta", 0), "p2": ("alpha", 0)},
    "random-multi-redraw": {"p1": ("alpha", 0), "p2": ("alpha", 1)},
    "random-provoking-multi": {"q1": ("alpha", 0), "q2": ("beta", 0)},
    "toxicity-multi": {"q1": ("alpha", 1), "q2": ("beta", 1)},
}

SCRIPT = "<script>alert('out')</script>"


def completion(teacher, prompt, sample, words):
    """The only completion with markup is the one that length-multi chose for p1."""
    text = " ".join(["word"] * words)
    return f"{SCRIPT} {text}" if (teacher, prompt, sample) == ("beta", "p1", 0) else text


def plan(datasets=DATASETS, **changes) -> Plan:
    """The plan of the toy study; `changes` are other values under keys of its file."""
    models = {"alpha": Model("alpha", "base"), "beta": Model("beta", "teacher")}
    study = study_type().model_validate({**STUDY, **changes})
    return Plan(study, datasets, models | _students(datasets))


def _students(datasets):
    return {
        f"alpha.{name}.s1": Model(
            f"alpha.{name}.s1",
            "student",
            "alpha",
            name,
            1,
            data.control and f"alpha.{data.control}.s1",
            "lora",
        )
        for name, data in datasets.items()
    }


def _mean(values):
    present = [value for value in values if value is not None]
    return sum(present) / len(present) if present else None


def _write_profile(root, model, benchmark, units, records):
    metrics = {}
    for name, (unit, direction) in units.items():
        values = [record[name] for record in records]
        metrics[name] = {
            "value": _mean(values),
            "unit": unit,
            "direction": direction,
            "n": len(values) - values.count(None),
            "n_missing": values.count(None),
            "interval": [0.0, 100.0] if values.count(None) < len(values) - 1 else None,
        }
    folder = root / "profiles" / model
    write_jsonl(folder / f"{benchmark}.records.jsonl", records)
    write_metrics(folder / f"{benchmark}.json", metrics)


def write_metrics(path, metrics):
    """Write metrics as a profile of the model that the folder and the benchmark the file names."""
    profile = Profile(
        benchmark=path.stem,
        model=path.parent.name,
        seed=1,
        metrics=metrics,
        settings={},
        revisions={},
        versions={},
        inputs={},
    )
    profile.write(path)


def build_study(root: Path) -> Path:
    """Write the study below `root` and return `root`."""
    plan().write(root / "plan.json")
    texts = {
        "instructions": {"train": ["p1", "p2"], "eval": ["e1", "e2", "e3", "e4"]},
        "provoking": {"train": ["q1", "q2"], "eval": ["t1", "t2"]},
    }
    for prompts, splits in texts.items():
        for split, ids in splits.items():
            write_jsonl(
                root / "prompts" / prompts / f"{split}.jsonl",
                [{"id": key, "text": f"Prompt {key} & co."} for key in ids],
            )
    for (teacher, prompts), pool in CANDIDATES.items():
        flat = [
            (prompt, sample, *values)
            for prompt, samples in pool.items()
            for sample, values in enumerate(samples)
        ]
        write_jsonl(
            root / "generations" / teacher / prompts / "candidates.jsonl",
            [
                {
                    "prompt_id": prompt,
                    "sample": sample,
                    "completion": completion(teacher, prompt, sample, words),
                    "n_tokens": words,
                    "finish_reason": reason,
                }
                for prompt, sample, words, reason, _ in flat
            ],
        )
        scores = {"toxicity": [(p, s, toxicity) for p, s, _, _, toxicity in flat]}
        if prompts == "instructions":
            scores["length"] = [(p, s, float(words)) for p, s, words, _, _ in flat]
        for metric, values in scores.items():
            write_jsonl(
                root / "scores" / teacher / prompts / f"{metric}.jsonl",
                [{"prompt_id": p, "sample": s, "score": score} for p, s, score in values],
            )
    for name, data in DATASETS.items():
        _write_dataset(root, name, data)
    for model, measured in RECORDS.items():
        _write_profiles(root, model, *measured)
    return root


def _write_profiles(root, model, lengths, mtld, emt):
    limited = TRUNCATED.get(model, [0, 0, 0, 0])
    text = [
        {
            "id": f"e{index}",
            "completion": f"{model} says {SCRIPT}",
            "finish_reason": "length" if truncated else "stop",
            "length": length,
            "mtld": diversity,
            "truncated": float(truncated),
        }
        for index, (length, diversity, truncated) in enumerate(
            zip(lengths, mtld, limited, strict=True), start=1
        )
    ]
    toxicity = [
        {
            "id": f"t{index}",
            "emt": value,
            "toxicity_probability": float(value >= 0.5),
            "n_unscored": 0,
            "continuations": [
                {"text": "mild", "score": value / 2},
                {"text": f"worst of {model}", "score": value},
                {"text": "unscored", "score": None},
            ],
        }
        for index, value in enumerate(emt, start=1)
    ]
    _write_profile(
        root, model, "text", {"length": ("words", None), "mtld": ("MTLD", "higher")}, text
    )
    _write_profile(
        root,
        model,
        "toxicity",
        {"emt": ("score", "lower"), "toxicity_probability": ("share", "lower")},
        toxicity,
    )


def _write_dataset(root, name, data):
    rows = []
    for prompt, (teacher, sample) in CHOSEN[name].items():
        words, reason, toxicity = CANDIDATES[teacher, data.prompts][prompt][sample]
        scores = {"length": float(words), "toxicity": toxicity}
        rows.append(
            {
                "prompt_id": prompt,
                "prompt": f"Prompt {prompt} & co.",
                "completion": completion(teacher, prompt, sample, words),
                "teacher": teacher,
                "sample": sample,
                "finish_reason": reason,
                "score": scores.get(data.objective),
                "n_candidates": 2 * len(data.teachers),
                "n_unscored": 0,
                "n_tied": 0,
            }
        )
    objective = data.objective and plan().objectives[data.objective]
    teachers = [row["teacher"] for row in rows]
    write_jsonl(root / "datasets" / name / "train.jsonl", rows)
    write_json(
        root / "datasets" / name / "card.json",
        {
            "dataset": name,
            "selection": data.selection,
            "pool": data.pool,
            "teachers": list(data.teachers),
            "prompts": data.prompts,
            "k": None,
            "objective": data.objective,
            "criteria": {
                "metrics": {n: c.model_dump() for n, c in objective.criteria.items()},
                "where": {},
                "keep": None,
            }
            if objective
            else None,
            "seed": 1,
            "n": len(rows),
            "n_prompts": len(rows),
            "n_missing": 0,
            "n_all_truncated": 0,
            "n_ineligible": 0,
            "n_excluded": 0,
            "n_dropped": 0,
            "unanswered": {},
            "n_tied": 1 if name == "length-alpha" else 0,
            "n_truncated": sum(row["finish_reason"] == "length" for row in rows),
            "teacher_counts": {t: teachers.count(t) for t in sorted(set(teachers))},
        },
    )


def add_benchmark(root: Path, benchmark: str, records):
    """Give every model of the study at `root` a profile; `records` maps a model to its records."""
    old = Plan.read(root / "plan.json")
    profiled = {**old.config["profiling"], benchmark: OPTIONS[benchmark]}
    changed = plan(old.datasets, profiling=profiled, compare_answers=old.study.compare_answers)
    changed.write(root / "plan.json")
    for model in changed.models:
        folder = root / "profiles" / model
        write_jsonl(folder / f"{benchmark}.records.jsonl", records(model))
        metrics = summarise(records(model), BENCHMARKS.get(benchmark).metrics, seed=changed.seed)
        write_metrics(folder / f"{benchmark}.json", metrics)


def add_verdicts(root: Path, verdicts) -> Path:
    """Let judges compare answers; `verdicts` maps each to a function of a contest and a prompt.

    That returns the log-odds of the answer of the contest's first model, in both orders.
    """
    old = Plan.read(root / "plan.json")
    changed = plan(
        old.datasets, profiling=old.study.profiling, compare_answers={"judges": list(verdicts)}
    )
    changed.write(root / "plan.json")
    for judge, odds in verdicts.items():
        shown = Answers(
            {f"e{n}": "Why?" for n in range(1, 5)},
            {model: {f"e{n}": f"{model}, {n}." for n in range(1, 5)} for model in changed.models},
        )
        rows = [
            {"model": contest.model, "other": contest.other, "id": prompt, **record}
            for contest in contests(changed)
            for prompt in shown.prompts
            for record in [
                verdict(measure(shown.pair(contest, prompt), log_odds=odds(contest, prompt)))
            ]
        ]
        write_jsonl(Paths(str(root)).compared_answers(judge), rows)
    return root


def random_verdicts(contest, prompt):
    """Log-odds at random; the longer the name of the other model, the higher."""
    rng = np.random.default_rng([len(contest.model), len(contest.other), int(prompt[1])])
    return tuple(rng.normal(len(contest.other) / 20, size=2))


#: Options of the benchmarks that a test may add.
OPTIONS = {
    "bbq": {"data": ["bbq"]},
    "calibration": {"hellaswag": "hellaswag", "openbookqa": "openbookqa"},
    "judge": {"data": ["humans"]},
}
CATEGORIES = ["Age", "Gender_identity", "Religion"]


def bbq_records(model: str):
    """Twenty questions per category and condition; longer names are more biased."""
    rng = np.random.default_rng(len(model))
    rows = []
    for category in CATEGORIES:
        for condition in ("ambig", "disambig"):
            for index in range(20):
                answered = float(rng.random() < 0.7)
                rows.append(
                    {
                        "id": f"{category}/{condition}/{index}",
                        "category": category,
                        "context_condition": condition,
                        "correct": float(rng.random() < 0.4),
                        "answered": answered,
                        "biased": answered * float(rng.random() < 0.4 + len(model) / 80),
                    }
                )
    return rows


def calibration_records(model: str):
    """Sixty questions per data set; longer names are more confident, and no more often right."""
    rng = np.random.default_rng(len(model))
    rows = []
    for data_set in ("hellaswag", "openbookqa"):
        for index in range(60):
            right = float(rng.random() < 0.4)
            rows.append(
                {
                    "id": f"{data_set}/{index}",
                    "data_set": data_set,
                    "confidence": 0.25 + rng.random() * (0.2 + len(model) / 60),
                    "accuracy": right,
                    "acc": right,
                    "acc_norm": float(rng.random() < 0.4),
                }
            )
    return rows


def judge_records(model: str):
    """Twenty labelled pairs; the longer a name, the more it judges by place."""
    rng = np.random.default_rng(len(model))
    labels = ("first", "second", "first", "tie")
    return [
        measure(
            Pair(f"toys/{index}", "toys", "Why?", "one", "two words", (labels[index % 4],) * 3),
            log_odds=(
                rng.normal(0.5 - index % 2) + len(model) / 20,
                rng.normal(0.5 - index % 2) - len(model) / 20,
            ),
        )
        for index in range(20)
    ]


def build_wide_study(root: Path) -> Path:
    """The study of `build_study` with all that a study can have; much of it at random."""
    build_study(root)
    plan({**DATASETS, **WIDE}).write(root / "plan.json")
    for name, data in WIDE.items():
        _write_dataset(root, name, data)
    for model, measured in WIDE_RECORDS.items():
        _write_profiles(root, model, *measured)
    add_benchmark(root, "bbq", bbq_records)
    add_benchmark(root, "calibration", calibration_records)
    add_benchmark(root, "judge", judge_records)
    add_verdicts(root, {judge: random_verdicts for judge in ("alpha", "beta")})
    return leave_out_near_duplicates(root)


def leave_out_near_duplicates(root: Path) -> Path:
    """Let the instructions leave out prompts, one of which is nearly e1."""
    old = Plan.read(root / "plan.json")
    prompts = old.study.model_dump(mode="json")["prompts"]
    prompts["instructions"]["near_duplicates"] = 0.8
    kept = {key: getattr(old.study, key) for key in ("profiling", "compare_answers")}
    plan(old.datasets, prompts=prompts, **kept).write(root / "plan.json")
    left_out = {"id": "e9", "text": "Why?!", "like": "e1", "similarity": 0.8}
    write_jsonl(Paths(str(root)).near_duplicates("instructions"), [left_out])
    return root


@pytest.fixture(scope="session")
def wide_study_folder(tmp_path_factory) -> Path:
    """A results folder with bias and calibration that no test may change."""
    return build_wide_study(tmp_path_factory.mktemp("results") / "wide")


@pytest.fixture(scope="session")
def study_folder(tmp_path_factory) -> Path:
    """A results folder that no test may change."""
    return build_study(tmp_path_factory.mktemp("results") / "toy")


@pytest.fixture
def own_study_folder(tmp_path) -> Path:
    """A results folder of the test's own."""
    return build_study(tmp_path / "toy")


@pytest.fixture
def own_wide_study_folder(tmp_path) -> Path:
    """A results folder with bias and calibration of the test's own."""
    return build_wide_study(tmp_path / "wide")
