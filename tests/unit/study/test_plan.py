"""The plan: training sets, students and controls, spelled out by hand."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from heirloom.finetune.methods import METHODS
from heirloom.study.config import Study
from heirloom.study.parse import parse_study
from heirloom.study.plan import VERSION, Dataset, Model, Plan, make_plan
from heirloom.support.errors import HeirloomError

ROOT = Path(__file__).resolve().parents[3]


def study(**changes: Any) -> Study:
    """The default study with other values under some of its keys; all pools, and no ablation."""
    raw = yaml.safe_load((ROOT / "config/config.yaml").read_text(encoding="utf-8"))
    # They name a pool or objectives, and some studies here have none.
    del raw["profiling"]["judge"], raw["objectives"]["toxicity"]["pools"]
    del raw["references"]
    for objective in raw["objectives"].values():
        objective.pop("expects")  # no part of a plan
    return parse_study({**raw, **changes}, root=ROOT)


def small(**changes: Any) -> Study:
    """Without objectives of its own prompts, to keep what is spelled out short."""
    objectives = {
        "length": {"metric": "length", "direction": "maximise", "measured_by": "text.length"}
    }
    return study(**{"objectives": objectives, **changes})


LENGTH = {"metric": "length", "direction": "maximise", "measured_by": "text.length"}
BOTH = ("smollm2", "gemma3")
ONE = ("smollm2",)
# id, selection, pool, teachers, prompts, objective, control
DEFAULT_DATASETS = [
    ("passive-smollm2", "passive", "smollm2", ONE, "instructions", None, None),
    ("passive-gemma3", "passive", "gemma3", ("gemma3",), "instructions", None, None),
    ("length-smollm2", "best", "smollm2", ONE, "instructions", "length", "passive-smollm2"),
    ("random-multi", "random", "multi", BOTH, "instructions", None, None),
    ("length-multi", "best", "multi", BOTH, "instructions", "length", "random-multi"),
    ("mtld-smollm2", "best", "smollm2", ONE, "instructions", "mtld", "passive-smollm2"),
    ("mtld-multi", "best", "multi", BOTH, "instructions", "mtld", "random-multi"),
    ("passive-provoking-smollm2", "passive", "smollm2", ONE, "provoking", None, None),
    (
        *("toxicity-smollm2", "best", "smollm2", ONE, "provoking", "toxicity"),
        "passive-provoking-smollm2",
    ),
    ("random-provoking-multi", "random", "multi", BOTH, "provoking", None, None),
    (
        *("toxicity-multi", "best", "multi", BOTH, "provoking", "toxicity"),
        "random-provoking-multi",
    ),
]


def test_training_sets_of_the_default_study() -> None:
    plan = make_plan(study())
    expected = {row[0]: Dataset(*row) for row in DEFAULT_DATASETS}  # type: ignore[arg-type]
    assert plan.datasets == expected


def test_models_of_the_default_study() -> None:
    plan = make_plan(study())
    controls = {row[0]: row[6] for row in DEFAULT_DATASETS}
    expected = {"smollm2": Model("smollm2", "base"), "gemma3": Model("gemma3", "teacher")}
    for dataset, control in controls.items():
        student = f"smollm2.{dataset}.s1"
        expected[student] = Model(
            student, "student", "smollm2", dataset, 1, control and f"smollm2.{control}.s1", "lora"
        )
    assert plan.models == expected
    assert list(plan.students) == [f"smollm2.{dataset}.s1" for dataset in plan.datasets]


def test_two_bases() -> None:
    """Each learns from both passive sets and the pool, but the best of a single source alone."""
    plan = make_plan(small(bases=["smollm2", "gemma3"]))
    assert set(plan.datasets) == {
        "passive-smollm2",
        "passive-gemma3",
        "length-smollm2",
        "length-gemma3",
        "random-multi",
        "length-multi",
    }
    assert plan.datasets["length-gemma3"].control == "passive-gemma3"
    assert {m.id: m.control for m in plan.students.values()} == {
        "smollm2.passive-smollm2.s1": None,
        "smollm2.passive-gemma3.s1": None,
        "smollm2.length-smollm2.s1": "smollm2.passive-smollm2.s1",
        "smollm2.random-multi.s1": None,
        "smollm2.length-multi.s1": "smollm2.random-multi.s1",
        "gemma3.passive-smollm2.s1": None,
        "gemma3.passive-gemma3.s1": None,
        "gemma3.length-gemma3.s1": "gemma3.passive-gemma3.s1",
        "gemma3.random-multi.s1": None,
        "gemma3.length-multi.s1": "gemma3.random-multi.s1",
    }
    assert [m.role for m in plan.models.values() if m.role != "student"] == ["base", "base"]


def learners(plan: Plan) -> dict[str, list[str | None]]:
    """Training set to the bases that are trained on it."""
    return {
        name: [m.base for m in plan.students.values() if m.dataset == name]
        for name in plan.datasets
    }


def test_every_base_on_every_teacher() -> None:
    """Two bases, two teachers and a pool: six sets, and each base is trained on each."""
    plan = make_plan(study(bases=list(BOTH), single_source="all", objectives={"length": LENGTH}))
    assert learners(plan) == {
        "passive-smollm2": list(BOTH),
        "passive-gemma3": list(BOTH),
        "length-smollm2": list(BOTH),
        "length-gemma3": list(BOTH),
        "random-multi": list(BOTH),
        "length-multi": list(BOTH),
    }
    sources = {name: plan.source(name) for name in plan.students}
    assert sources == {
        "smollm2.passive-smollm2.s1": "",
        "smollm2.passive-gemma3.s1": "",
        "smollm2.length-smollm2.s1": "own",
        "smollm2.length-gemma3.s1": "other",
        "smollm2.random-multi.s1": "pool",
        "smollm2.length-multi.s1": "pool",
        "gemma3.passive-smollm2.s1": "",
        "gemma3.passive-gemma3.s1": "",
        "gemma3.length-smollm2.s1": "other",
        "gemma3.length-gemma3.s1": "own",
        "gemma3.random-multi.s1": "pool",
        "gemma3.length-multi.s1": "pool",
    }
    assert plan.source("gemma3.length-smollm2") == "other"  # all its seeds
    # The control is the random draw from the same candidates, for the same base.
    assert plan.students["gemma3.length-smollm2.s1"].control == "gemma3.passive-smollm2.s1"


def test_a_teacher_that_an_objective_names() -> None:
    """A base's own candidates are for itself; those of a teacher that is no base are for all."""
    objectives = {"length": {**LENGTH, "prompts": "provoking", "pools": ["smollm2", "gemma3"]}}
    one = make_plan(study(objectives=objectives))
    assert learners(one) == {
        "passive-smollm2": ["smollm2"],
        "passive-gemma3": ["smollm2"],
        "passive-provoking-smollm2": ["smollm2"],
        "length-smollm2": ["smollm2"],
        "passive-provoking-gemma3": ["smollm2"],
        "length-gemma3": ["smollm2"],
    }
    two = learners(make_plan(study(objectives=objectives, bases=list(BOTH))))
    assert two["length-smollm2"] == two["passive-provoking-smollm2"] == ["smollm2"]
    assert two["length-gemma3"] == two["passive-provoking-gemma3"] == ["gemma3"]
    every = make_plan(study(objectives=objectives, bases=list(BOTH), single_source="all"))
    assert learners(every)["length-gemma3"] == list(BOTH)
    # Six sets, each base on each of them, controls on the objective's prompts included.
    assert (len(every.datasets), len(every.students)) == (6, 12)
    assert every.students["smollm2.length-gemma3.s1"].control == (
        "smollm2.passive-provoking-gemma3.s1"
    )


def test_a_named_teacher_limits_all_combinations() -> None:
    """With `single_source: all`, from the one that is named to every base."""
    objectives = {"length": {**LENGTH, "pools": ["gemma3"]}}
    plan = make_plan(study(objectives=objectives, bases=list(BOTH), single_source="all"))
    assert [name for name in plan.datasets if name.startswith("length")] == ["length-gemma3"]
    assert learners(plan)["length-gemma3"] == list(BOTH)


def test_a_noise_floor_draws_what_no_score_decided_again() -> None:
    """Nine sets instead of six, and each base on each: three second draws."""
    ordinary = make_plan(study(bases=list(BOTH), single_source="all", objectives={"a": LENGTH}))
    plan = make_plan(
        study(
            bases=list(BOTH),
            single_source="all",
            objectives={"a": LENGTH},
            noise_floor=True,
            finetune={"seeds": [1, 2]},
        )
    )
    added = [d for name, d in plan.datasets.items() if name not in ordinary.datasets]
    one = ("instructions", None, None)
    assert added == [
        Dataset("passive-smollm2-redraw", "redraw", "smollm2", ONE, *one, "passive-smollm2"),
        Dataset("passive-gemma3-redraw", "redraw", "gemma3", ("gemma3",), *one, "passive-gemma3"),
        Dataset("random-multi-redraw", "redraw", "multi", BOTH, *one, "random-multi"),
    ]
    assert [d.first_draw for d in added] == ["passive-smollm2", "passive-gemma3", "random-multi"]
    assert len(plan.students) == 9 * 2 * 2  # sets, bases, seeds
    assert plan.redraws == {
        f"{base}.{first}": f"{base}.{first}-redraw"
        for base in BOTH
        for first in ("passive-smollm2", "passive-gemma3", "random-multi")
    }
    # Controls are the first draws, as without a noise floor.
    assert plan.students["gemma3.a-multi.s2"].control == "gemma3.random-multi.s2"
    assert plan.source("smollm2.passive-gemma3-redraw") == "other"


def test_a_second_draw_is_for_the_bases_of_the_first() -> None:
    """Of a control with prompts of its own, too: those of the first draw."""
    objectives = {"top": {**LENGTH, "keep": {"fraction": 0.5}, "pools": ["smollm2"]}}
    plan = make_plan(study(bases=list(BOTH), objectives=objectives, noise_floor=True))
    again = plan.datasets["random-smollm2-top-redraw"]
    assert (again.selection, again.first_draw) == ("redraw", "random-smollm2-top")
    assert learners(plan)["random-smollm2-top-redraw"] == ["smollm2"]


def test_no_noise_floor_unless_asked_for() -> None:
    assert make_plan(study()).redraws == {}
    assert make_plan(study(noise_floor=False)).models == make_plan(study()).models


def test_two_bases_with_prompts_of_an_objectives_own() -> None:
    """A passive set made as a control only is learnt only by the base that it controls for."""
    plan = make_plan(study(bases=["smollm2", "gemma3"]))
    trained = learners(plan)
    assert trained["passive-provoking-smollm2"] == trained["toxicity-smollm2"] == ["smollm2"]
    assert trained["passive-provoking-gemma3"] == trained["toxicity-gemma3"] == ["gemma3"]
    assert (
        trained["random-provoking-multi"]
        == trained["passive-gemma3"]
        == [
            "smollm2",
            "gemma3",
        ]
    )


def test_a_base_that_is_no_teacher() -> None:
    """It has no single-source sets, and its teachers are not bases."""
    plan = make_plan(small(teachers=["gemma3"], pools={"multi": ["gemma3"]}))
    assert plan.models["smollm2"] == Model("smollm2", "base")
    assert plan.models["gemma3"] == Model("gemma3", "teacher")
    assert {m.id: m.control for m in plan.students.values()} == {
        "smollm2.passive-gemma3.s1": None,
        "smollm2.random-multi.s1": None,
        "smollm2.length-multi.s1": "smollm2.random-multi.s1",
    }


def test_two_seeds() -> None:
    """A student's control has its own seed."""
    once, twice = (make_plan(small(finetune={"seeds": seeds})).students for seeds in ([1], [1, 7]))
    assert len(twice) == 2 * len(once)
    assert set(once) < set(twice)
    assert twice["smollm2.length-multi.s7"] == Model(
        "smollm2.length-multi.s7",
        "student",
        "smollm2",
        "length-multi",
        7,
        "smollm2.random-multi.s7",
        "lora",
    )


def test_a_training_method_is_part_of_a_student(monkeypatch: pytest.MonkeyPatch) -> None:
    """Students trained by another method than LoRA say so in their id, and so do controls."""
    full = replace(METHODS.get("lora"), name="full")
    monkeypatch.setitem(METHODS._components, "full", full)
    plan = make_plan(small(finetune={"methods": ["lora", "full"], "seeds": [1, 2]}))
    of_set = [m for m in plan.students.values() if m.dataset == "length-multi"]
    assert [(m.id, m.method, m.control) for m in of_set] == [
        ("smollm2.length-multi.s1", "lora", "smollm2.random-multi.s1"),
        ("smollm2.length-multi.s2", "lora", "smollm2.random-multi.s2"),
        ("smollm2.length-multi.full.s1", "full", "smollm2.random-multi.full.s1"),
        ("smollm2.length-multi.full.s2", "full", "smollm2.random-multi.full.s2"),
    ]
    assert plan.students_by_seed["smollm2.length-multi.full"] == [m.id for m in of_set[2:]]


def test_two_pools() -> None:
    plan = make_plan(small(pools={"multi": list(BOTH), "again": list(BOTH)}))
    controls = {d.id: d.control for d in plan.datasets.values() if d.selection == "best"}
    assert controls == {
        "length-smollm2": "passive-smollm2",
        "length-multi": "random-multi",
        "length-again": "random-again",
    }


def test_no_objectives() -> None:
    plan = make_plan(study(objectives={}))
    assert list(plan.datasets) == ["passive-smollm2", "passive-gemma3"]
    assert list(plan.students) == ["smollm2.passive-smollm2.s1", "smollm2.passive-gemma3.s1"]


def test_naming_the_training_prompts_changes_nothing() -> None:
    """`prompts: instructions` is what an objective without prompts has."""
    objective = {"metric": "length", "direction": "maximise", "measured_by": "text.length"}
    left_out = make_plan(study(objectives={"length": objective}))
    named = make_plan(study(objectives={"length": {**objective, "prompts": "instructions"}}))
    assert (named.datasets, named.models) == (left_out.datasets, left_out.models)
    assert named.objectives == left_out.objectives


@pytest.mark.parametrize("changes", [{}, {"bases": ["smollm2", "gemma3"]}, {"pools": {}}])
def test_every_best_set_has_a_control_that_differs_in_selection_alone(
    changes: dict[str, Any],
) -> None:
    plan = make_plan(study(finetune={"seeds": [1, 2]}, **changes))
    best = [d for d in plan.datasets.values() if d.selection == "best"]
    assert best
    for dataset in best:
        control = plan.datasets[dataset.control or ""]
        assert control.selection in ("random", "passive")
        assert (control.pool, control.teachers, control.prompts) == (
            dataset.pool,
            dataset.teachers,
            dataset.prompts,
        )
    for model in plan.students.values():
        if model.dataset in [d.id for d in best]:
            control_student = plan.students[model.control or ""]
            assert (control_student.base, control_student.seed) == (model.base, model.seed)


def test_two_training_sets_of_one_name() -> None:
    """random-provoking-multi: pool multi on provoking prompts, or pool provoking-multi."""
    with pytest.raises(HeirloomError, match="random-provoking-multi"):
        make_plan(study(pools={"multi": list(BOTH), "provoking-multi": list(BOTH)}))


def test_a_plan_is_written_and_read_back(tmp_path: Path) -> None:
    plan = make_plan(study())
    plan.write(tmp_path / "plan.json")
    assert Plan.read(tmp_path / "plan.json") == plan
    record = json.loads((tmp_path / "plan.json").read_text(encoding="utf-8"))
    assert record["datasets"]["toxicity-multi"] == {
        "id": "toxicity-multi",
        "selection": "best",
        "pool": "multi",
        "teachers": ["smollm2", "gemma3"],
        "prompts": "provoking",
        "objective": "toxicity",
        "control": "random-provoking-multi",
        "prompts_of": None,
        "k": None,
    }
    assert record["models"]["smollm2.passive-gemma3.s1"] == {
        "id": "smollm2.passive-gemma3.s1",
        "role": "student",
        "base": "smollm2",
        "dataset": "passive-gemma3",
        "seed": 1,
        "control": None,
        "method": "lora",
    }
    assert record["config"]["generate"]["k"] == 8


def test_a_plan_says_what_the_report_reads() -> None:
    plan = make_plan(study())
    assert (plan.name, plan.seed, plan.k) == ("pocket", 17, 8)
    assert {"text", "toxicity", "crows_pairs"} <= set(plan.benchmarks)
    # The prompts of an objective that names none are the training prompts.
    assert plan.objectives["length"].prompts == "instructions"
    assert plan.objectives["toxicity"].prompts == "provoking"
    assert plan.pools == [
        ("gemma3", "instructions"),
        ("gemma3", "provoking"),
        ("smollm2", "instructions"),
        ("smollm2", "provoking"),
    ]


@pytest.mark.parametrize("version", [2, None])
def test_a_plan_of_another_version_is_refused(tmp_path: Path, version: int | None) -> None:
    """Version 2 named the sections of the study file otherwise; before that there was none."""
    file = tmp_path / "plan.json"
    record = make_plan(study()).record() | {"version": version}
    file.write_text(json.dumps(record), encoding="utf-8")
    with pytest.raises(HeirloomError, match=rf"plan\.json was written .* this is {VERSION}"):
        Plan.read(file)


def test_an_objective_may_leave_out_pools() -> None:
    def sets(**pools: list[str]) -> list[str]:
        objectives = {"length": {**LENGTH, **pools}}
        plan = make_plan(study(objectives=objectives, bases=["smollm2", "gemma3"]))
        return [name for name, dataset in plan.datasets.items() if dataset.objective]

    assert sets() == ["length-smollm2", "length-gemma3", "length-multi"]
    assert sets(pools=["multi"]) == ["length-multi"]
    assert sets(pools=["multi", "gemma3"]) == ["length-gemma3", "length-multi"]


ABLATION = {"objectives": ["length"], "pool": "multi", "candidates": [1, 2]}


def test_an_ablation_adds_sets_of_fewer_candidates() -> None:
    objectives = {
        "length": LENGTH,
        "toxicity": {**LENGTH, "metric": "toxicity", "prompts": "provoking"},
    }
    ordinary = make_plan(study(objectives=objectives))
    ablation = {**ABLATION, "objectives": ["length", "toxicity"]}
    plan = make_plan(study(objectives=objectives, ablation=ablation))
    assert list(plan.datasets)[: len(ordinary.datasets)] == list(ordinary.datasets)
    added = {name: d for name, d in plan.datasets.items() if name not in ordinary.datasets}
    expected = []
    for k in (1, 2):
        for name, prompts, control in (
            ("length", "instructions", "random-multi"),
            ("toxicity", "provoking", "random-provoking-multi"),
        ):
            best = f"{name}-multi-k{k}"
            expected.append(Dataset(best, "best", "multi", BOTH, prompts, name, control, k=k))
    assert list(added.values()) == expected
    # Every base learns them, and the control is that of all candidates.
    assert plan.students["smollm2.length-multi-k2.s1"].control == "smollm2.random-multi.s1"
    assert len(plan.students) == len(ordinary.students) + 4


def test_both_directions_of_a_metric() -> None:
    objectives = {"long": LENGTH, "short": {**LENGTH, "direction": "minimise"}}
    default = study(objectives=objectives)
    plan = make_plan(default)
    assert {n: o.direction_of_leading for n, o in plan.objectives.items()} == {
        "long": "maximise",
        "short": "minimise",
    }
    assert {"long-multi", "short-multi", "random-multi"} <= set(plan.datasets)


@pytest.mark.parametrize(
    "limits", [{"keep": {"fraction": 0.25}}, {"where": {"toxicity": {"at_most": 0.2}}}]
)
def test_a_set_of_fewer_prompts_has_a_control_of_the_same(limits: dict[str, Any]) -> None:
    objectives = {"length": LENGTH, "top": {**LENGTH, **limits}}
    plan = make_plan(study(objectives=objectives, ablation={**ABLATION, "objectives": ["top"]}))
    assert plan.datasets["length-multi"].control == "random-multi"
    for best, control, pool, teachers in (
        ("top-multi", "random-multi-top", "multi", BOTH),
        ("top-smollm2", "random-smollm2-top", "smollm2", ONE),
        ("top-multi-k2", "random-multi-top-k2", "multi", BOTH),  # the prompts are its own
    ):
        assert plan.datasets[best].control == control
        assert plan.datasets[control] == Dataset(
            control, "random", pool, teachers, "instructions", prompts_of=best
        )
    # Only the base that wrote the candidates learns the single-source set and its control.
    two = make_plan(study(objectives=objectives, bases=["smollm2", "gemma3"]))
    assert learners(two)["random-smollm2-top"] == ["smollm2"]


def test_an_objective_of_several_metrics() -> None:
    """The first metric is the one that the report shows and that `measured_by` measures."""
    objective = {
        "metrics": {
            "length": {"direction": "maximise", "weight": 2},
            "toxicity": {"direction": "minimise"},
        },
        "where": {"mtld": {"at_least": 40, "at_most": 200}},
        "measured_by": "text.length",
    }
    default = study(objectives={"both": objective})
    both = make_plan(default).objectives["both"]
    assert str(both) == (
        "maximise length (weight 2) and minimise toxicity (weight 1) with mtld at least 40 and at "
        "most 200"
    )
    assert (both.leading, both.direction_of_leading) == ("length", "maximise")


@pytest.mark.parametrize(
    ("keep", "words"),
    [
        ({"fraction": 0.25}, "maximise length, the best 25 % of the prompts only"),
        ({"at_least": 30}, "maximise length, prompts whose best scores at least 30 only"),
    ],
)
def test_what_is_kept_in_words(keep: dict[str, float], words: str) -> None:
    assert str(study(objectives={"top": {**LENGTH, "keep": keep}}).objectives["top"]) == words
