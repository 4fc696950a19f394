"""The study file: what is shipped is valid, and every error is named, all at once."""

import copy
from pathlib import Path
from typing import Any

import pytest
import yaml

from heirloom.study.config import Study, study_type
from heirloom.study.parse import parse_study
from heirloom.study.plan import make_plan
from heirloom.support.errors import HeirloomError

ROOT = Path(__file__).resolve().parents[3]
SHIPPED = sorted((ROOT / "config").glob("*.yaml"))


@pytest.fixture
def raw() -> dict[str, Any]:
    """The default study, for a test to change; without what names much else."""
    study = dict(yaml.safe_load((ROOT / "config/config.yaml").read_text(encoding="utf-8")))
    del study["references"]
    return study


def refusal(raw: dict[str, Any], root: Path = ROOT) -> list[str]:
    """The lines of the refusal, one a problem, without the first and the last."""
    with pytest.raises(HeirloomError) as caught:
        parse_study(raw, root=root)
    first, *problems, last = str(caught.value).splitlines()
    assert first.startswith(f"the study {raw.get('study', 'without a name')} cannot run")
    assert all(problem.startswith("  - ") for problem in problems)
    assert "config/README.md" in last
    return [problem.removeprefix("  - ") for problem in problems]


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.name)
def test_shipped_studies_are_valid(path: Path) -> None:
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    study = parse_study(content, root=ROOT)
    assert study.study == content["study"]
    # What is written out again is the same study: nothing is lost between file and report.
    assert study_type().model_validate(study.model_dump(mode="json")) == study


def test_there_is_a_default_study() -> None:
    assert "config.yaml" in [path.name for path in SHIPPED]


def test_all_errors_come_at_once(raw: dict[str, Any]) -> None:
    raw["generate"]["temprature"] = 0.9
    raw["teachers"] = ["smolm2", "gemma3"]
    raw["generate"]["k"] = 0
    raw["prompts"]["instructions"]["sources"] = [{"path": "resources/prompts/gone.jsonl"}]
    problems = refusal(raw)
    expected = [
        "generate.temprature: unknown key. Did you mean 'temperature'?",
        "generate.k: Input should be greater than or equal to 1 (it is 0).",
        "teachers[0]: 'smolm2' is not in models. Did you mean 'smollm2'?",
        "prompts.instructions.sources: no such file: resources/prompts/gone.jsonl. Relative paths "
        f"start from {ROOT}.",
    ]
    assert set(expected) <= set(problems)
    # The pool's member is no teacher any more, and that is all there is beside.
    rest = [problem for problem in problems if problem not in expected]
    assert rest == ["pools.multi[0]: 'smollm2' is not in teachers. Did you mean 'smolm2'?"]


def test_unknown_keys_at_every_depth(raw: dict[str, Any]) -> None:
    raw["profile"] = raw["profiling"]
    raw["profiling"]["text"]["max_tokens"] = 5
    raw["models"]["smollm2"]["temlpate"] = "chat"
    raw["models"]["smollm2"]["sources"][0]["sha265"] = "x"
    raw["prompts"]["provoking"]["columns"]["txet"] = "x"
    assert sorted(refusal(raw)) == [
        "models.smollm2.sources[0].sha265: unknown key. Did you mean 'sha256'?",
        "models.smollm2.temlpate: unknown key. Did you mean 'template'?",
        "profile: unknown key. Did you mean 'profiling'?",
        "profiling.text.max_tokens: unknown key. Did you mean 'max_new_tokens'?",
        "prompts.provoking.columns.txet: unknown key. Did you mean 'text'?",
    ]


def test_missing_keys(raw: dict[str, Any]) -> None:
    del raw["seed"], raw["profiling"]["toxicity"]["prompts"], raw["prompts"]["provoking"]["train"]
    assert sorted(refusal(raw)) == [
        "profiling.toxicity.prompts: this key is missing.",
        "prompts.provoking.train: this key is missing.",
        "seed: this key is missing.",
    ]


def test_an_empty_study_names_what_it_needs() -> None:
    problems = refusal({})
    needed = {name for name, field in Study.model_fields.items() if field.is_required()}
    assert problems == [
        f"{name}: this key is missing." for name in Study.model_fields if name in needed
    ]
    assert {"study", "models", "teachers", "bases", "profiling"} <= needed


@pytest.mark.parametrize("name", ["My-Study", "a_b", "a--b", "-a", "a.b", "a/b", "../a", "", "é"])
def test_names_become_file_names(raw: dict[str, Any], name: str) -> None:
    problems = refusal({**raw, "study": name})
    assert len(problems) == 1
    assert problems[0].startswith("study: ") and problems[0].endswith(f"(it is {name!r}).")


def test_names_of_models_are_checked(raw: dict[str, Any]) -> None:
    raw["models"]["Smol_LM"] = raw["models"]["smollm2"]
    problems = refusal(raw)
    assert len(problems) == 1
    assert problems[0].startswith("models") and "'Smol_LM'" in problems[0]


def test_a_pool_must_not_be_called_like_a_model(raw: dict[str, Any]) -> None:
    raw["pools"]["gemma3"] = ["smollm2"]
    assert refusal(raw) == ["pools.gemma3: a model has this name; call the pool something else."]


@pytest.mark.parametrize("name", ["random", "passive"])
def test_an_objective_must_not_be_called_like_a_selection(raw: dict[str, Any], name: str) -> None:
    raw["objectives"][name] = copy.deepcopy(raw["objectives"]["length"])
    assert refusal(raw) == [f"objectives.{name}: this name is taken by the {name} training sets."]


def test_references_are_checked(raw: dict[str, Any]) -> None:
    raw["bases"] = ["gpt"]
    raw["training_prompts"] = "instruction"
    raw["pools"]["multi"] = ["smollm2", "gema3"]
    raw["metrics"]["mtld"]["function"] = "mltd"
    raw["objectives"]["length"] |= {"metric": "lenght", "measured_by": "text.lenght"}
    raw["objectives"]["toxicity"]["prompts"] = "provokin"
    raw["profiling"]["toxicity"] |= {"metrics": ["toxicty"], "prompts": "provokings"}
    problems = {line.split(": ", 1)[0]: line.split(": ", 1)[1] for line in refusal(raw)}
    assert problems["bases[0]"].startswith("'gpt' is not in models. Known: gemma3, smollm2.")
    hints = {
        "training_prompts": "'instructions'",
        "pools.multi[1]": "'gemma3'",
        "metrics.mtld.function": "'mtld'",
        "objectives.length.metric": "'length'",
        "objectives.length.measured_by": "'text.length'",
        "objectives.toxicity.prompts": "'provoking'",
        "profiling.toxicity.metrics[0]": "'toxicity'",
        "profiling.toxicity.prompts": "'provoking'",
    }
    assert set(problems) == {"bases[0]", *hints}
    for path, hint in hints.items():
        assert f"Did you mean {hint}?" in problems[path]


def test_what_no_benchmark_measures_cannot_be_followed(raw: dict[str, Any]) -> None:
    """Without the toxicity benchmark there is no toxicity.emt."""
    del raw["profiling"]["toxicity"]
    (problem,) = refusal(raw)
    assert problem.startswith("objectives.toxicity.measured_by: 'toxicity.emt' is not in what")


QUESTIONS = {"metric": "questions", "direction": "maximise"}


def test_an_objective_is_measured_by_its_own_metric_unless_it_says_otherwise(
    raw: dict[str, Any],
) -> None:
    raw["metrics"]["questions"] = {"function": "profanity", "options": {"window_words": 5}}
    several = {"metrics": {"questions": {"direction": "maximise"}, "length": QUESTIONS | {}}}
    del several["metrics"]["length"]["metric"]
    raw["objectives"] |= {"questions": QUESTIONS, "both": several}
    study = parse_study(raw, root=ROOT)
    measured = {name: objective.measured_by for name, objective in study.objectives.items()}
    assert (measured["questions"], measured["both"]) == ("text.questions", "text.questions")
    assert measured["toxicity"] == "toxicity.emt"
    metric = make_plan(study).measures["text"]["questions"]
    assert (metric.unit, metric.direction) == ("probability", "lower")
    # It can be said as well, and it is checked like any other.
    raw["objectives"]["questions"] = {**QUESTIONS, "measured_by": "text.questions"}
    assert parse_study(raw, root=ROOT) == study
    raw["objectives"]["questions"]["measured_by"] = "text.question"
    (problem,) = refusal(raw)
    assert problem.endswith("Did you mean 'text.questions'?")


def test_without_answers_an_objective_has_to_name_its_measure(raw: dict[str, Any]) -> None:
    raw["metrics"]["questions"] = {"function": "profanity"}
    raw["objectives"] = {"questions": QUESTIONS}
    del raw["profiling"]["text"]
    assert refusal(raw) == [
        "objectives.questions.measured_by: this key is missing, and without profiling.text nothing "
        "measures text.questions, its default. Add profiling.text, or name what measures the "
        "objective."
    ]


def test_a_metric_must_not_be_called_like_another_of_text(raw: dict[str, Any]) -> None:
    """`mtld` with other options than the profile's is MTLD; readability is not profanity."""
    raw["metrics"]["mtld"] = {"function": "mtld", "options": {"min_words": 3}}
    raw["metrics"]["rix"] = {"function": "profanity"}
    assert refusal(raw) == [
        "metrics.rix: text.rix is a metric that profiling.text has of its own, and not the score "
        "of 'profanity'. Call this metric something else."
    ]
    del raw["profiling"]["text"], raw["objectives"]
    assert "rix" in parse_study(raw, root=ROOT).metrics


def test_toxicity_by_a_second_metric_can_measure_an_objective(raw: dict[str, Any]) -> None:
    raw["metrics"]["rude"] = {"function": "profanity", "options": {"window_words": 5}}
    raw["profiling"]["toxicity"]["metrics"] = ["toxicity", "rude"]
    raw["objectives"]["toxicity"]["measured_by"] = "toxicity.emt.by_rude"
    measures = make_plan(parse_study(raw, root=ROOT)).measures["toxicity"]
    assert (measures["emt"].scorer, measures["emt.by_rude"].scorer) == ("toxicity", "rude")
    raw["profiling"]["toxicity"]["metrics"] = ["toxicity", "rud"]
    assert refusal(raw) == [
        "objectives.toxicity.measured_by: 'toxicity.emt.by_rude' is not in what the benchmarks "
        "measure. Did you mean 'toxicity.emt.by_rud'?",
        "profiling.toxicity.metrics[1]: 'rud' is not in metrics. Did you mean 'rude'?",
    ]


def test_a_benchmark_can_be_left_out(raw: dict[str, Any]) -> None:
    del raw["objectives"]["toxicity"], raw["profiling"]["toxicity"]
    study = parse_study(raw, root=ROOT)
    run = list(study.benchmarks)
    assert "text" in run and "toxicity" not in run


def test_a_key_that_moved_into_the_profile_says_so(raw: dict[str, Any]) -> None:
    raw["generate"]["shards"] = 2
    (problem,) = refusal(raw)
    assert problem.startswith("generate.shards: unknown key. How many jobs share the work is up")
    assert "set-scatter" in problem


def test_a_section_that_was_renamed_says_its_name(raw: dict[str, Any]) -> None:
    raw["generation"] = raw.pop("generate")
    raw["finetuning"] = raw.pop("finetune")
    problems = refusal(raw)
    assert "generation: unknown key. It is called generate now; its keys are the same." in problems
    assert "finetuning: unknown key. It is called finetune now; its keys are the same." in problems


def test_the_size_of_a_model_is_no_part_of_the_plan(raw: dict[str, Any]) -> None:
    """It changes no result, so stating it must not make anything again."""
    before = parse_study(raw, root=ROOT)
    raw["models"]["smollm2"]["parameters"] = 1.35e8
    stated = parse_study(raw, root=ROOT)
    assert stated.models["smollm2"].parameters == 1.35e8
    assert make_plan(stated).record() == make_plan(before).record()


@pytest.mark.parametrize(
    ("section", "key", "value"),
    [
        ("generate", "temperature", -0.1),
        ("generate", "top_p", 0),
        ("generate", "top_p", 1.1),
        ("finetune", "learning_rate", 0),
        ("finetune", "seeds", []),
        ("finetune", "max_length", 15),
        ("finetune", "epochs", "two"),
    ],
)
def test_bounds(raw: dict[str, Any], section: str, key: str, value: Any) -> None:
    raw[section][key] = value
    (problem,) = refusal(raw)
    assert problem.startswith(f"{section}.{key}: ") and problem.endswith(f"(it is {value!r}).")


@pytest.mark.parametrize(
    ("section", "key", "value"),
    [
        ("generate", "temperature", 0),
        ("generate", "top_p", 1),
        ("generate", "top_k", 0),
        ("finetune", "max_length", 16),
        ("finetune", "epochs", 0.5),
    ],
)
def test_bounds_are_inclusive(raw: dict[str, Any], section: str, key: str, value: Any) -> None:
    raw[section][key] = value
    assert getattr(getattr(parse_study(raw, root=ROOT), section), key) == value


# Where files are


def test_paths_start_from_the_root(raw: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "resources").symlink_to(ROOT / "resources")
    raw["prompts"]["instructions"]["sources"] = [{"path": "mine.jsonl"}]
    (problem,) = refusal(raw, root=tmp_path)
    assert problem.startswith("prompts.instructions.sources: no such file: mine.jsonl.")
    (tmp_path / "mine.jsonl").write_text("")
    assert parse_study(raw, root=tmp_path).study == "pocket"


def test_a_missing_file_with_another_source_is_no_error(
    raw: dict[str, Any], tmp_path: Path
) -> None:
    raw["models"]["smollm2"]["sources"].insert(0, {"path": "gone.gguf"})
    (tmp_path / "x").touch()
    (tmp_path / "resources").symlink_to(ROOT / "resources")
    raw["prompts"]["instructions"]["sources"] = [{"path": "gone"}, {"path": "x"}]
    assert parse_study(raw, root=tmp_path).seed == 17


def test_home_folder(raw: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sources expand ~, so the check must."""
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "mine.jsonl").touch()
    raw["prompts"]["instructions"]["sources"] = [{"path": "~/mine.jsonl"}]
    assert parse_study(raw, root=ROOT).study == "pocket"


@pytest.mark.parametrize(
    "value",
    [
        5,
        "here",
        None,
        [5],
        {"path": "x"},
        [[]],
    ],
)
def test_sources_of_a_wrong_kind(raw: dict[str, Any], value: Any) -> None:
    raw["models"]["smollm2"]["sources"] = value
    problems = refusal(raw)
    assert problems and all(p.startswith("models.smollm2.sources") for p in problems)


@pytest.mark.parametrize("key", ["models", "teachers", "pools", "prompts", "metrics", "profiling"])
@pytest.mark.parametrize("value", [5, "text", None, [{}], {"a": 5}])
def test_sections_of_a_wrong_kind(raw: dict[str, Any], key: str, value: Any) -> None:
    """Whatever is wrong is a refusal, never a traceback."""
    assert any(problem.startswith(key) for problem in refusal({**raw, key: value}))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("teachers", ["smollm2", "gemma3", "smollm2"]),
        ("bases", ["smollm2", "smollm2"]),
        ("pools", {"multi": []}),
        ("pools", {"multi": ["smollm2", "gemma3", "gemma3"]}),
    ],
)
def test_lists_of_models_are_sets(raw: dict[str, Any], key: str, value: Any) -> None:
    """An empty pool has no best candidate, and a teacher named twice would count twice."""
    (problem,) = refusal({**raw, key: value})
    assert problem.startswith(key)


# Benchmark data, and models that no study trains


def test_data_that_nothing_defines_is_named_with_its_key(raw: dict[str, Any]) -> None:
    raw["data"] = {"hellaswag": {"sources": [{"path": "resources/prompts/instructions.jsonl"}]}}
    raw["profiling"] = {
        "calibration": {"hellaswag": "hellaswga"},
        "general": {"tasks": {"boolq": "hellaswag", "rte": "none"}},
        "bbq": {"data": ["hellaswag", "helaswag"]},
    }
    raw["metrics"] = {}
    raw["objectives"] = {}
    assert sorted(refusal(raw)) == [
        "profiling.bbq.data[1]: 'helaswag' is not in data. Did you mean 'hellaswag'?",
        "profiling.calibration.hellaswag: 'hellaswga' is not in data. Did you mean 'hellaswag'?",
        "profiling.general.tasks.rte: 'none' is not in data. Known: hellaswag.",
    ]


def test_a_data_file_that_is_not_there(raw: dict[str, Any]) -> None:
    raw["data"]["mine"] = {"sources": [{"path": "gone.jsonl"}]}
    assert refusal(raw) == [
        f"data.mine.sources: no such file: gone.jsonl. Relative paths start from {ROOT}."
    ]


def test_a_study_may_profile_alone(raw: dict[str, Any]) -> None:
    alone = {key: raw[key] for key in ("title", "seed", "models", "data")}
    alone |= {"study": "alone", "teachers": [], "bases": []}
    alone["profiling"] = {"calibration": {"hellaswag": "hellaswag"}}
    plan = make_plan(parse_study(alone, root=ROOT))
    assert plan.datasets == {}
    assert {name: model.role for name, model in plan.models.items()} == {
        "smollm2": "other",
        "gemma3": "other",
    }


def test_teachers_need_training_prompts(raw: dict[str, Any]) -> None:
    del raw["training_prompts"]
    assert refusal(raw) == ["training_prompts: this key is missing, and there are teachers."]


def test_training_sets_need_prompts_to_train_on(raw: dict[str, Any]) -> None:
    """Other prompt sets need none."""
    raw["prompts"]["spare"] = {**raw["prompts"]["instructions"], "train": 0}
    parse_study(raw, root=ROOT)
    objective = next(iter(raw["objectives"]))
    raw["objectives"][objective]["prompts"] = "spare"
    (problem,) = refusal(raw)
    assert problem == (
        f"objectives.{objective}.prompts: 'spare' has no prompts to train on. Raise "
        "prompts.spare.train, or name another prompt set."
    )
    raw["prompts"]["instructions"]["train"] = 0
    assert any(p.startswith("training_prompts: 'instructions' has no") for p in refusal(raw))
    raw["prompts"]["spare"]["train"] = -1
    assert any(p.startswith("prompts.spare.train: ") for p in refusal(raw))


# Options of scorers


def test_options_of_scorers_are_checked(raw: dict[str, Any]) -> None:
    options = {"weights": "tox-block-weight", "vocabulary": "tox-block-vocabulary", "floor": 1}
    raw["metrics"]["toxicity"]["options"] = options
    raw["metrics"]["mtld"]["options"] = {"min_word": 30}
    raw["metrics"]["bare"] = {"function": "tox_block", "options": {"weights": 3}}
    mtld, unknown, misnamed, missing = refusal(raw)
    assert mtld.startswith("metrics.mtld.options: The scorer 'mtld'")
    assert "no option 'min_word'. Its options: threshold, min_words" in mtld
    assert unknown.startswith("metrics.toxicity.options: The scorer 'tox_block'")
    assert "no option 'floor'" in unknown
    assert misnamed == (
        "metrics.toxicity.options.weights: 'tox-block-weight' is not in data. Did you mean "
        "'tox-block-weights'?"
    )
    assert missing.startswith("metrics.bare.options: The scorer 'tox_block'")
    assert "requires the option 'vocabulary', which names an entry of data." in missing


# Objectives of several metrics, bounds, and fewer candidates


def objective_with(raw: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """The default study with other keys in its objective `length`; None: without that key."""
    objective = {**raw["objectives"]["length"], **changes}
    raw["objectives"]["length"] = {key: v for key, v in objective.items() if v is not None}
    return raw


SEVERAL = {"length": {"direction": "maximise", "weight": 2}, "mtld": {"direction": "maximise"}}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"metrics": SEVERAL}, "give metric and direction, or metrics, not both"),
        ({"metric": None}, "give metric and direction, or metrics"),
        ({"direction": None}, "give metric and direction, or metrics"),
        ({"metric": None, "direction": None, "metrics": {}}, "give metric and direction"),
        (
            {"metric": None, "direction": None, "metrics": SEVERAL, "keep": {"fraction": 0.5}},
            "ranks of several metrics are within one prompt",
        ),
    ],
)
def test_one_metric_or_several(raw: dict[str, Any], changes: dict[str, Any], message: str) -> None:
    (problem,) = refusal(objective_with(raw, **changes))
    assert problem.startswith("objectives.length: ") and message in problem


@pytest.mark.parametrize(
    ("changes", "path", "message"),
    [
        ({"where": {"toxicity": {}}}, "where.toxicity", "give at_least, at_most or both"),
        (
            {"where": {"toxicity": {"at_least": 2, "at_most": 1}}},
            "where.toxicity",
            "at_least 2 is above at_most 1",
        ),
        ({"where": {"toxicity": {"at_mots": 1}}}, "where.toxicity.at_mots", "Did you mean"),
        ({"keep": {}}, "keep", "give one of fraction, at_least and at_most"),
        ({"keep": {"fraction": 0.5, "at_least": 1}}, "keep", "give one of"),
        ({"keep": {"fraction": 1}}, "keep.fraction", "less than 1"),
        ({"where": {"toxic": {"at_most": 1}}}, "where", "Did you mean 'toxicity'?"),
    ],
)
def test_bounds_and_shares_are_checked(
    raw: dict[str, Any], changes: dict[str, Any], path: str, message: str
) -> None:
    problems = refusal(objective_with(raw, **changes))
    assert problems[0].startswith(f"objectives.length.{path}: ") and message in problems[0]


def test_several_metrics_are_checked(raw: dict[str, Any]) -> None:
    several = {"lenght": {"direction": "maximise"}, "mtld": {"direction": "up", "weight": 0}}
    problems = refusal(objective_with(raw, metric=None, direction=None, metrics=several))
    assert [problem.partition(": ")[0] for problem in problems] == [
        "objectives.length.metrics.mtld.direction",
        "objectives.length.metrics.mtld.weight",
        "objectives.length.metrics",
    ]
    assert "Did you mean 'length'?" in problems[-1]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"candidates": [1, 8]}, "ablation.candidates[1]: 8 is not fewer than generate.k, 8."),
        ({"candidates": [2, 2]}, "ablation.candidates: Value error, 2 is named twice"),
        ({"candidates": []}, "ablation.candidates: "),
        ({"candidates": [0]}, "ablation.candidates[0]: "),
        ({"objectives": []}, "ablation.objectives: "),
        ({"objectives": ["lenght"]}, "ablation.objectives[0]: 'lenght' is not in objectives."),
        ({"pool": "smollm2"}, "ablation.pool: 'smollm2' is not in pools."),
        (
            {"objectives": ["own"]},
            "ablation.objectives[0]: 'own' does not select from 'multi'; add that to "
            "objectives.own.pools.",
        ),
    ],
)
def test_an_ablation_is_checked(raw: dict[str, Any], changes: dict[str, Any], message: str) -> None:
    raw["objectives"]["own"] = {**raw["objectives"]["length"], "pools": ["smollm2"]}
    ablation = {"objectives": ["length"], "pool": "multi", "candidates": [1, 2], **changes}
    (problem,) = refusal({**raw, "ablation": ablation})
    assert problem.startswith(message)


def test_the_pools_of_an_objective_are_checked(raw: dict[str, Any]) -> None:
    parse_study(objective_with(raw, pools=["multi", "gemma3"]), root=ROOT)
    (problem,) = refusal(objective_with(raw, pools=["multi", "gema3"]))
    assert problem.startswith("objectives.length.pools[1]: 'gema3' is not in pools or teachers.")


@pytest.mark.parametrize(
    "changes", [{"pools": ["alone", "gemma3"]}, {"single_source": "all"}], ids=str
)
def test_no_set_is_made_twice(raw: dict[str, Any], changes: dict[str, Any]) -> None:
    """A pool of one teacher, and that teacher itself."""
    raw["pools"]["alone"] = ["gemma3"]
    raw["objectives"] = {"length": {**raw["objectives"]["length"], "pools": changes.get("pools")}}
    raw["single_source"] = changes.get("single_source", "own")
    (problem,) = refusal(raw)
    assert problem.startswith(
        "objectives.length: the pool 'alone' has the candidates of 'gemma3' alone, which"
    )
    raw["objectives"]["length"]["pools"] = ["alone", "multi"]
    parse_study(raw, root=ROOT)


def test_a_second_draw_needs_a_second_candidate(raw: dict[str, Any]) -> None:
    raw["noise_floor"] = True
    parse_study(raw, root=ROOT)
    (problem,) = refusal({**raw, "generate": {"k": 1}})
    assert problem.startswith("noise_floor: a second draw needs a second candidate")


def test_a_model_behind_an_endpoint_is_checked(raw: dict[str, Any]) -> None:
    endpoint = {"url": "https://host/v1", "model": "large"}
    raw["models"]["large"] = {"endpoint": endpoint}
    raw["teachers"].append("large")
    parse_study(raw, root=ROOT)

    chat = {**endpoint, "completions": False}
    raw["models"]["both"] = {**raw["models"]["smollm2"], "endpoint": endpoint}
    raw["models"]["neither"] = {}
    raw["models"]["templated"] = {"endpoint": chat, "template": "Q: {prompt}"}
    raw["models"]["large"]["endpoint"] = {**chat, "modle": "large"}
    raw["bases"].append("large")
    raw["prompts"]["instructions"]["format"] = "continuation"
    problems = dict(problem.split(": ", 1) for problem in refusal(raw))
    for name in ("both", "neither"):
        assert "give either sources or an endpoint" in problems[f"models.{name}"]
    assert "needs template: chat" in problems["models.templated"]
    assert problems["models.large.endpoint.modle"] == "unknown key. Did you mean 'model'?"
    assert "can generate but not be trained here" in problems["bases[1]"]
    assert "the endpoint of 'large' serves chat alone" in problems["training_prompts"]


@pytest.mark.parametrize(
    ("model", "path"),
    [
        (
            {"endpoint": {"url": "https://host/v1", "model": "m", "key": "sk-canary"}},
            "endpoint.key",
        ),
        ({"endpoint": {"url": "https://me:canary@host/v1", "model": "m"}}, "endpoint.url"),
        ({"endpoint": {"url": "https://host/v1", "model": ["canary"]}}, "endpoint.model"),
        ({"endpoint": ["canary", {"key": "canary"}]}, "endpoint"),
        (
            {"sources": [{"url": "https://me:canary@host/a", "sha256": "0" * 64}]},
            "sources[0].url",
        ),
        ({"sources": [], "endpoint": {"url": "https://h/v1", "model": "m"}, "template": 1}, ""),
    ],
)
def test_no_message_repeats_what_may_be_a_secret(
    raw: dict[str, Any], model: dict[str, Any], path: str
) -> None:
    """By what the section says of itself, whatever the value looks like."""
    raw["models"]["large"] = model
    problems = refusal(raw)
    assert any(problem.startswith(f"models.large.{path}") for problem in problems)
    assert "canary" not in "".join(problems)


def test_a_wrong_value_that_only_names_an_endpoint_is_shown(raw: dict[str, Any]) -> None:
    raw["title"] = ["the endpoint"]
    assert refusal(raw) == ["title: Input should be a valid string (it is ['the endpoint'])."]
