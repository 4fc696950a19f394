"""Tasks that only the harness knows: its own run, few-shot examples, its own JSON, errors."""

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from heirloom import profiling
from heirloom.generate.model import LanguageModel, load_model
from heirloom.generate.templates import PromptTemplate
from heirloom.profiling import Task, summarise
from heirloom.profiling.engines.harness import FewShot, local_task
from heirloom.profiling.engines.harness_tasks import find_task
from heirloom.profiling.general import OWN_FORM, GeneralOptions
from heirloom.profiling.labels import label
from heirloom.profiling.options import needs
from heirloom.support.errors import HeirloomError
from heirloom.support.files import Record, write_text

GENERAL = profiling.BENCHMARKS.get("general")


def sciq(question: str, right: str, *wrong: str) -> Record:
    return {
        "support": "",
        "question": question,
        "correct_answer": right,
        "distractor1": wrong[0],
        "distractor2": wrong[1],
        "distractor3": wrong[2],
    }


# The Hub's field names. Short: the tiny model's context is 256 tokens, about as many letters.
ROWS: dict[str, list[Record]] = {
    "piqa": [
        {"goal": "Cool a drink.", "sol1": "Add ice.", "sol2": "Add a hot stone.", "label": 0},
        {"goal": "Cut bread.", "sol1": "Use a spoon.", "sol2": "Use a knife.", "label": 1},
    ],
    "sciq": [
        sciq("Ice is?", "cold", "hot", "red", "loud"),
        sciq("Suns are?", "hot", "flat", "wet", "dim"),
    ],
    "sciq-shown": [
        sciq(f"{a}?", b, "no", "not", "nor") for a, b in zip("ABCDEFGH", "zyxwvuts", strict=True)
    ],
    "piqa-shown": [
        {"goal": f"{a}.", "sol1": f"{a}{b}.", "sol2": f"{b}{a}.", "label": number % 2}
        for number, (a, b) in enumerate(zip("ABCDEFGH", "zyxwvuts", strict=True))
    ],
    # One is the greedy continuation of the tiny model only by chance; the harness says which.
    "lambada_openai": [{"text": "He sat by the sea"}, {"text": "the the the the the"}],
}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("data")
    for name, rows in ROWS.items():
        write_text(folder / f"{name}.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
    return {name: folder / f"{name}.jsonl" for name in ROWS}


@pytest.fixture(scope="module")
def tiny(tiny_model: Path) -> LanguageModel:
    return load_model(tiny_model, name="tiny", prompt_template=PromptTemplate(), dtype="float32")


TASKS: dict[str, Any] = {
    "piqa": {"data": "piqa", "num_fewshot": 2, "fewshot_data": "piqa-shown"},
    "sciq": {"data": "sciq", "num_fewshot": 5, "fewshot_data": "sciq-shown"},
    "lambada_openai": {"data": "lambada_openai"},
}


SHOTS = {"piqa": 2, "sciq": 5, "lambada_openai": 0}


def by_itself(model: LanguageModel, data: dict[str, Path], folder: Path) -> Record:
    """The harness's own evaluation, its tasks declared as its manual says, with its own model."""
    import lm_eval.tasks
    from lm_eval import simple_evaluate
    from lm_eval.models.huggingface import HFLM

    shipped = Path(lm_eval.tasks.__file__).parent
    configs = {
        "piqa": "piqa/piqa.yaml",
        "sciq": "sciq/sciq.yaml",
        "lambada_openai": "lambada/lambada_openai.yaml",
    }
    declared = []
    for name, config in configs.items():
        # Under the names of the task's own splits, which decide how examples are drawn.
        files = {split: str(data[name]) for split in ("validation", "test")}
        files["train"] = str(data.get(f"{name}-shown", data[name]))
        declaration = {
            "include": str(shipped / config),
            "dataset_path": "json",
            "dataset_name": None,
            "dataset_kwargs": {"data_files": files, "cache_dir": str(folder / "cache")},
            "num_fewshot": SHOTS[name],
        }
        file = folder / f"{name}.yaml"
        file.write_text(json.dumps(declaration), encoding="utf-8")  # JSON is YAML
        declared.append(str(file))
    results = simple_evaluate(
        HFLM(pretrained=model.network, tokenizer=model.tokenizer, batch_size=2),
        tasks=declared,
        task_manager=lm_eval.tasks.TaskManager(include_defaults=False),
        bootstrap_iters=0,
    )
    assert results is not None
    return dict(results)


def numbers(results: Record) -> dict[str, float]:
    return {key: value for key, value in results.items() if isinstance(value, float)}


def test_the_harness_by_itself_finds_the_same(
    tiny: LanguageModel, data: dict[str, Path], tmp_path: Path
) -> None:
    """With two and five examples, and where a metric asks if the answer is the greedy one.

    piqa names no split for examples and has no test split, for which the harness draws one more.
    """
    options = GeneralOptions.model_validate({"tasks": TASKS})
    file = tmp_path / OWN_FORM
    task = Task(tiny, [], "instruction", None, data, 17, tmp_path / "work", files={OWN_FORM: file})
    records = GENERAL.run(task, options)
    expected = by_itself(tiny, data, tmp_path)
    summary = summarise(records, GENERAL.measures({}, options), seed=1)
    for name in TASKS:
        found = [record for record in records if record["task"] == name]
        for record, sample in zip(found, expected["samples"][name], strict=True):
            theirs = [float(answers[0][0]) for answers in sample["resps"]]
            assert record["log_likelihoods"] == pytest.approx(theirs, abs=1e-3)
            assert record["acc"] == sample["acc"]
        value = summary[f"acc.{name}"]["value"]
        assert value == pytest.approx(expected["results"][name]["acc,none"], abs=1e-12)
    for name, metric in (("sciq", "acc_norm"), ("lambada_openai", "perplexity")):
        value = summary[f"{metric}.{name}"]["value"]
        assert value == pytest.approx(expected["results"][name][f"{metric},none"], rel=1e-3)
    # The model is too small to be moved by other examples: the prompts themselves are equal.
    for name in ("piqa", "sciq"):
        few_shot = FewShot(SHOTS[name], ROWS[f"{name}-shown"])
        local = local_task(find_task(name).config, ROWS[name], few_shot)
        local.build_all_requests()
        theirs = [args for sample in expected["samples"][name] for args in sample["arguments"]]
        assert [request.args for request in local.instances] == theirs
        assert theirs[0][0].count("Question:") == SHOTS[name] + 1

    written = json.loads(file.read_text(encoding="utf-8"))
    for key in ("results", "versions", "n-shot", "higher_is_better", "n-samples"):
        for name in TASKS:
            found, theirs = written[key][name], expected[key][name]
            if key == "results":  # log-likelihoods differ in the seventh digit
                found, theirs = (numbers(results) for results in (found, theirs))
                assert found == pytest.approx(theirs, rel=1e-3)
            else:
                assert found == theirs, key
    from lm_eval.utils import make_table

    assert "|piqa" in make_table(written)


def test_an_unscored_example_is_in_no_number(
    tiny: LanguageModel, data: dict[str, Path], tmp_path: Path
) -> None:
    long = {"goal": "tree " * 300, "sol1": "a", "sol2": "b", "label": 1}
    path = tmp_path / "long.jsonl"
    write_text(path, "".join(json.dumps(row) + "\n" for row in [ROWS["piqa"][0], long]))
    options = GeneralOptions.model_validate({"tasks": {"piqa": "p"}})
    file = tmp_path / OWN_FORM
    files = {OWN_FORM: file}
    task = Task(tiny, [], "instruction", None, {"p": path}, 17, tmp_path / "work", files=files)
    first, second = GENERAL.run(task, options)
    assert (second["acc"], second["acc_norm"]) == (None, None)
    summary = summarise([first, second], GENERAL.measures({}, options), seed=1)
    assert (summary["acc.piqa"]["n"], summary["acc.piqa"]["n_missing"]) == (1, 1)
    written = json.loads(file.read_text(encoding="utf-8"))
    assert written["n-samples"]["piqa"] == {"original": 2, "effective": 1}
    assert written["results"]["piqa"]["acc,none"] == first["acc"]


def test_names_and_costs() -> None:
    options = GeneralOptions.model_validate({"tasks": TASKS, "examples": 10})
    assert needs(options).data == ("piqa", "piqa-shown", "sciq", "sciq-shown", "lambada_openai")
    assert {"acc.piqa", "acc_norm.sciq", "perplexity.lambada_openai"} <= set(
        GENERAL.measures({}, options)
    )
    assert label("general", "acc_norm.sciq") == "Accuracy (length-normalised), sciq"
    # 10 examples of 150 tokens; with two or five in front each reads three or six times as many.
    assert GENERAL.cost is not None
    assert GENERAL.cost(options, 0).read == 10 * 150 * (3 + 6 + 1)


@pytest.mark.parametrize(
    ("tasks", "problem"),
    [
        ({"piqqa": "d"}, r"tasks\.piqqa: lm-eval .* has no task 'piqqa'\. Nearest: piqa"),
        ({"gsm8k": "d"}, r"tasks\.gsm8k: the task 'gsm8k' .* needs generation"),
        ({"wikitext": "d"}, r"tasks\.wikitext: .* log-likelihood of whole documents"),
        ({"mmlu": "d"}, r"tasks\.mmlu: 'mmlu' is a group .*mmlu_stem"),
        ({"piqa": {"data": "d", "num_fewshot": 2}}, r"tasks\.piqa: 2 few-shot .* fewshot_data"),
        ({"piqa": {"data": "d", "fewshot_data": "e"}}, r"fewshot_data names examples, but none"),
        (
            {"truthfulqa_mc1": {"data": "d", "num_fewshot": 2, "fewshot_data": "e"}},
            "takes no few-shot examples",
        ),
        ({"boolq": {"data": "d", "num_fewshot": 1}}, "fewshot_data"),
    ],
)
def test_a_task_that_cannot_run_is_refused_before_any_job(
    tasks: dict[str, Any], problem: str
) -> None:
    with pytest.raises(ValidationError, match=problem):
        GeneralOptions.model_validate({"tasks": tasks})


@pytest.mark.parametrize(
    ("tasks", "problem"),
    [
        ({"piqa": "sciq"}, "cannot make the task 'piqa' of these rows .* 'baber/piqa'"),
        (
            {"piqa": {"data": "piqa", "num_fewshot": 2, "fewshot_data": "piqa"}},
            "3 rows are needed, but there are 2",
        ),
    ],
)
def test_unfit_data(
    tiny: LanguageModel, data: dict[str, Path], tmp_path: Path, tasks: Any, problem: str
) -> None:
    task = Task(tiny, [], "instruction", None, data, 17, tmp_path / "work")
    with pytest.raises(HeirloomError, match=problem):
        GENERAL.run(task, GeneralOptions.model_validate({"tasks": tasks}))
