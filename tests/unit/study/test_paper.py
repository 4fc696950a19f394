"""The paper's study: what is known of the paper stands in it, and nothing is marked twice."""

from pathlib import Path

import pytest
import yaml

from heirloom.profiling.data.seat import TESTS, canonical
from heirloom.prompts.read import read_source
from heirloom.prompts.split import split_prompts
from heirloom.study.config import Study
from heirloom.study.parse import parse_study

ROOT = Path(__file__).resolve().parents[3]
FILE = ROOT / "config/paper.yaml"
SHARED = ROOT.parent / "shared" / "data"


@pytest.fixture(scope="module")
def study() -> Study:
    return parse_study(yaml.safe_load(FILE.read_text(encoding="utf-8")), root=ROOT)


def test_models_are_asked_in_the_words_of_the_toolkit(study: Study) -> None:
    """Bases, teachers and students alike; the space at the end is the toolkit's."""
    asked = {study.models[name].template for name in study.bases}
    assert asked == {"### Question: {prompt}\n ### Answer: "}
    hubs = [study.models[name].sources[0].model_dump()["hub"] for name in study.bases]
    assert hubs == [
        *("meta-llama/Llama-2-7b-hf", "meta-llama/Llama-2-13b-hf"),
        "mistralai/Mixtral-8x7B-Instruct-v0.1",
    ]
    assert study.generate.k == 10


@pytest.mark.parametrize(
    ("name", "file", "n"),
    [
        ("provoking", "rtp/rtp_toxic_test_set.json", 300),
        ("dolly", "dolly200/dolly_eval_eng.jsonl.gz", 100),
    ],
)
def test_prompts_for_evaluation_are_all_used(study: Study, name: str, file: str, n: int) -> None:
    if not (SHARED / file).exists():
        pytest.skip(f"the real data are not at {SHARED / file}")
    settings = study.prompts[name]
    prompts = read_source(SHARED / file, settings)
    sizes = {"train": settings.train, "eval": settings.eval}
    assert sizes == {"train": 0, "eval": n}
    assert len(split_prompts(prompts, **sizes, seed=study.seed, name=name)[1]) == n == len(prompts)


def test_seat_runs_every_test_and_bbq_seven_categories(study: Study) -> None:
    profiling = study.model_dump()["profiling"]
    files = [study.data[name].sources[0].model_dump()["url"] for name in profiling["seat"]["data"]]
    stems = [url.rsplit("/", 1)[1].removesuffix(".jsonl").replace("%2B", "+") for url in files]
    assert sorted(map(canonical, stems)) == sorted(TESTS)
    categories = {name.removeprefix("bbq-") for name in profiling["bbq"]["data"]}
    assert categories == {
        *("age", "disability-status", "gender-identity", "nationality", "race-ethnicity"),
        *("religion", "sexual-orientation"),
    }
