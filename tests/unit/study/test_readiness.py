"""Everything that a run needs and lacks is told before its first job."""

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from heirloom.fetch.cache import cache_path
from heirloom.study.parse import parse_study
from heirloom.study.paths import Paths
from heirloom.study.plan import Plan, make_plan
from heirloom.study.readiness import Pending, require_ready
from heirloom.support.errors import HeirloomError
from heirloom.support.files import write_json

JOBS = [
    Pending("train_prompts", {"prompts": "instructions"}),
    Pending("generate", {"teacher": "far", "prompts": "instructions", "scatteritem": "1-of-1"}),
]


@pytest.fixture
def raw(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The default study with a third teacher, behind an endpoint."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HEIRLOOM_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("FAR_KEY", raising=False)
    (tmp_path / "resources").symlink_to(root / "resources")
    found: dict[str, Any] = yaml.safe_load((root / "config/config.yaml").read_text("utf-8"))
    endpoint = {"url": "https://far.example/v1", "model": "far-1", "key": "FAR_KEY"}
    found["models"]["far"] = {"endpoint": endpoint}
    found["teachers"].append("far")
    return found


def plan_of(raw: dict[str, Any]) -> Plan:
    return make_plan(parse_study(raw, root=Path.cwd()))


def test_all_problems_are_told_in_one_message(raw: dict[str, Any], tmp_path: Path) -> None:
    rows = [json.dumps({"instruction": f"Name bird {n}.", "input": ""}) for n in range(7)]
    (tmp_path / "few.jsonl").write_text("\n".join(rows), encoding="utf-8")
    raw["prompts"]["instructions"]["sources"] = [{"path": "few.jsonl"}]
    del raw["prompts"]["instructions"]["columns"]
    sizes = {key: raw["prompts"]["instructions"][key] for key in ("train", "eval")}
    (tmp_path / "results").touch()  # a file where the folder has to be
    paths = Paths.of_study("pocket")
    with pytest.raises(HeirloomError) as caught:
        require_ready(plan_of(raw), paths, JOBS)
    first, *problems = str(caught.value).splitlines()
    assert first == "nothing was run, because"
    assert problems[0].startswith("  - results/pocket cannot be written (")
    assert problems[1].startswith(
        f"  - prompts.instructions asks for {sizes['train']} train and {sizes['eval']} eval "
        "prompts, but its source has 7 distinct ones."
    )
    assert problems[2].startswith(
        "  - models.far.endpoint.key: the environment variable FAR_KEY is not set"
    )
    assert len(problems) == 3


def test_what_the_jobs_do_not_need_is_not_asked_for(
    raw: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = Paths.of_study("pocket")
    plan = plan_of(raw)
    require_ready(plan, paths, [])  # nothing to run
    require_ready(plan, paths, JOBS[:1])
    with pytest.raises(HeirloomError, match="FAR_KEY is not set"):
        require_ready(plan, paths, JOBS)
    # Kept answers need no key.
    endpoint = plan.study.models["far"].endpoint
    assert endpoint is not None
    write_json(cache_path("answers", "abc", "identity.json"), {"model": endpoint.identity})
    require_ready(plan, paths, JOBS)
    monkeypatch.setenv("FAR_KEY", "secret")
    shutil.rmtree(cache_path("answers"))
    require_ready(plan, paths, JOBS)


def test_too_little_room_is_a_warning(raw: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 300 bytes free; a run of every student needs more."""
    usage = shutil.disk_usage(os.curdir)._replace(free=300)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    monkeypatch.setenv("FAR_KEY", "secret")
    (warning,) = require_ready(plan_of(raw), Paths.of_study("pocket"), JOBS)
    assert warning.startswith("results/pocket has 0.0 GB of free space, and this run may take")
