"""A look at a study changes nothing; what the cache lost is fetched again by the next run."""

import hashlib
import shutil
from pathlib import Path
from typing import Any

import pytest
from loopback import Handler, LoopbackServer, running
from workshop import RESULTS, Workshop

from heirloom.support.files import read_json, write_json

Listing = dict[str, tuple[int, int]]
PROMPTS = str(RESULTS / "prompts/instructions/train.jsonl")


def listing(*folders: Path) -> Listing:
    """Every file and folder to its time of change and its size."""
    found = [path for folder in folders for path in (folder, *folder.rglob("*")) if path.exists()]
    return {str(path): (path.stat().st_mtime_ns, path.stat().st_size) for path in found}


@pytest.fixture(scope="module")
def fetched(finished: Workshop, tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    """The finished tiny study with its models in the cache, as if they had been downloaded."""
    shop = finished.copy(tmp_path_factory.mktemp("looking") / "heirloom")
    for note in sorted(shop.results.glob("models/*.json")):
        location = f"artefacts/{note.stem}/content"
        shutil.copytree(shop.folder / "tiny-model", shop.cache / location)
        write_json(note, {**read_json(note), "location": location})
    shop.run("--touch")
    return shop


@pytest.mark.parametrize("cache", ["filled", "empty", "absent"])
def test_a_look_changes_neither_results_nor_cache(
    fetched: Workshop, tmp_path: Path, cache: str
) -> None:
    shop = Workshop(fetched.folder)
    shop.environment["XDG_CACHE_HOME"] = str(tmp_path / "snakemake")  # which caches for itself
    if cache != "filled":
        shop.cache = tmp_path / "cache"
        shop.environment["HEIRLOOM_CACHE"] = str(shop.cache)
    if cache == "empty":
        shop.cache.mkdir()
    before = listing(shop.results.parent, shop.cache, fetched.cache)
    assert str(shop.results / "models/ant.json") in before
    planned = {job.name for job in shop.plan()}
    shop.run("--lint")
    shop.run("--report", str(tmp_path / "report.zip"))
    assert listing(shop.results.parent, shop.cache, fetched.cache) == before
    # Without the models, the dry run says what a run would fetch.
    fetches = {"fetch_model ant", "fetch_model bee"}
    assert planned & fetches == (set() if cache == "filled" else fetches)
    assert (planned == set()) == (cache == "filled")


class PromptServer(LoopbackServer):
    """Has one file, and counts how often it is fetched."""

    def __init__(self, content: bytes) -> None:
        super().__init__()
        self.content, self.fetched = content, 0

    def answer(self, handler: Handler, body: bytes) -> None:
        self.fetched += handler.command == "GET"
        handler.send(200, self.content)


def test_an_artefact_that_left_the_cache_is_fetched_again(workshop: Workshop) -> None:
    content = (workshop.folder / "prompts.jsonl").read_bytes()
    made = {"fetch_prompts instructions", "train_prompts instructions"}
    with running(PromptServer(content)) as server:

        def download(study: dict[str, Any]) -> None:
            source = {
                "url": f"{server.address}/prompts.jsonl",
                "sha256": hashlib.sha256(content).hexdigest(),
            }
            study["prompts"]["instructions"]["sources"] = [source]

        workshop.edit_study(download)
        workshop.run(PROMPTS)
        first = workshop.bytes_of("sources/*.json", "prompts/*/*.jsonl")
        assert server.fetched == 1 and workshop.plan(PROMPTS) == []

        shutil.rmtree(workshop.cache / "artefacts")
        assert {job.name for job in workshop.plan(PROMPTS)} == made
        workshop.run(PROMPTS)
        assert server.fetched == 2 and workshop.plan(PROMPTS) == []
    assert workshop.bytes_of("sources/*.json", "prompts/*/*.jsonl") == first
    assert any((workshop.cache / "artefacts").rglob("prompts.jsonl"))
