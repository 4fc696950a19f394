"""Models whose answers judges compare, spelled out by hand, and mistakes in the section."""

from pathlib import Path
from typing import Any

import pytest

from heirloom.profiling.compare_answers import Contest
from heirloom.study.contests import Rivals, compared_pairs, contests, rivals
from heirloom.study.estimate.work import work_of
from heirloom.study.job_inputs import JobInputs
from heirloom.study.job_size import JobSizes
from heirloom.study.parse import parse_study
from heirloom.study.paths import Paths
from heirloom.study.plan import Plan, make_plan
from heirloom.support.errors import HeirloomError

ROOT = Path(__file__).resolve().parents[3]


def raw(**changes: Any) -> dict[str, Any]:
    """A study of two teachers with one objective and one multi-source set, and other values."""
    model = {"sources": [{"path": "resources"}]}  # never loaded
    prompts = {"sources": [{"path": "resources/prompts/instructions.jsonl"}]}
    prompts |= {"train": 20, "eval": 12, "max_new_tokens": 64}  # type: ignore[dict-item]
    return {
        "study": "judged",
        "title": "Judged",
        "seed": 1,
        "models": {"smollm2": model, "gemma3": model},
        "teachers": ["smollm2", "gemma3"],
        "bases": ["smollm2"],
        "pools": {"multi": ["smollm2", "gemma3"]},
        "prompts": {"instructions": prompts},
        "training_prompts": "instructions",
        "metrics": {"length": {"function": "length"}},
        "objectives": {
            "length": {
                "metric": "length",
                "direction": "maximise",
                "measured_by": "text.length",
                "pools": ["multi"],
            }
        },
        "profiling": {"text": {"prompts": "instructions", "max_new_tokens": 100}},
        **changes,
    }


def planned(judges: list[str], **changes: Any) -> Plan:
    settings = {"judges": judges, **changes.pop("settings", {})}
    return make_plan(parse_study(raw(compare_answers=settings, **changes), root=ROOT))


def test_students_meet_base_control_and_rival() -> None:
    plan = planned(["smollm2", "gemma3"])
    own, other, random, steered = (
        f"smollm2.{name}.s1"
        for name in ("passive-smollm2", "passive-gemma3", "random-multi", "length-multi")
    )
    assert set(plan.students) == {own, other, random, steered}
    found = contests(plan)
    assert len(found) == len(set(found))
    assert set(found) == {
        *(Contest(student, "smollm2") for student in plan.students),
        Contest(steered, random),
        Contest(own, other),
    }
    assert rivals(plan) == [
        Rivals(
            (own.removesuffix(".s1"), other.removesuffix(".s1")),
            ("smollm2", "gemma3"),
            ([own], [other]),
        )
    ]


def test_second_draws_meet_nobody() -> None:
    judges = ["smollm2", "gemma3"]
    twice = planned(judges, noise_floor=True)
    assert "smollm2.passive-gemma3-redraw.s1" in twice.students
    assert contests(twice) == contests(planned(judges)) and rivals(twice) == rivals(planned(judges))


def test_seeds_meet_their_own_control_and_rival() -> None:
    found = contests(planned(["smollm2", "gemma3"], finetune={"seeds": [1, 2]}))
    for seed in (1, 2):
        assert Contest(f"smollm2.length-multi.s{seed}", f"smollm2.random-multi.s{seed}") in found
        pair = (f"smollm2.passive-{name}.s{seed}" for name in ("smollm2", "gemma3"))
        assert Contest(*pair) in found
    assert len(found) == 2 * (4 + 1 + 1)


def test_rivals_need_their_teachers_as_judges() -> None:
    assert rivals(planned(["gemma3"])) == [] == rivals(make_plan(parse_study(raw(), root=ROOT)))
    assert len(contests(planned(["gemma3"]))) == 4 + 1
    assert contests(make_plan(parse_study(raw(), root=ROOT))) == []


def test_the_work_of_judges_is_estimated() -> None:
    plan = planned(["smollm2", "gemma3"], settings={"examples": 10})
    assert compared_pairs(plan) == 6 * 10
    work = {(w.stage, w.name): w for w in work_of(plan)}
    # Six pairs of models, ten prompts, two orders, each of a prompt and two answers.
    assert work["compare", "gemma3"].read == 6 * 10 * 2 * (64 + 2 * 100)
    assert work["compare", "gemma3"].jobs == 1 and work["compare", "gemma3"].written == 0
    # No more than there are eval prompts: all of them.
    assert compared_pairs(planned(["gemma3"])) == 5 * 12
    sizes = JobSizes(plan, Paths("results/x"), shards=1)
    parameters = sizes.parameters("gemma3")
    assert sizes.compare("gemma3").operations == 2 * parameters * 60 * 2 * (256 + 2 * 100)


def test_a_judge_reads_every_text_profile_that_it_compares() -> None:
    plan = planned(["gemma3"])
    pairs, models = JobInputs(plan, Paths("results/x")).compared()
    assert sorted({name for pair in pairs for name in pair}) == models
    assert models == sorted(["smollm2", *plan.students])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"compare_answers": {"judges": ["gema3"]}}, "judges[0]: 'gema3' is not in models. Did"),
        ({"compare_answers": {"judges": []}}, "judges: Value should have at least 1"),
        ({"compare_answers": {}}, "compare_answers.judges: this key is missing"),
        (
            {"compare_answers": {"judges": ["gemma3"], "examples": 5000}},
            "compare_answers.examples: 5000 is more than prompts.instructions.eval, 12.",
        ),
        (
            {"compare_answers": {"judges": ["gemma3"]}, "bases": []},
            "compare_answers: this study trains no students whose answers could be compared.",
        ),
    ],
)
def test_mistakes_are_told(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(HeirloomError) as caught:
        parse_study(raw(**changes), root=ROOT)
    assert message in str(caught.value)


def test_what_judging_needs_is_told() -> None:
    study = raw(compare_answers={"judges": ["far"]})
    study["models"]["far"] = {"endpoint": {"url": "http://localhost:9/v1", "model": "m"}}
    del study["profiling"]["text"]
    with pytest.raises(HeirloomError) as caught:
        parse_study(study, root=ROOT)
    assert "compare_answers.judges[0]: 'far' is a model behind an endpoint" in str(caught.value)
    assert "compare_answers: answers to compare are those of profiling.text; add it." in str(
        caught.value
    )
