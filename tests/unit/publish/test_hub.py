"""Pushes with the hub's real client, to a hub on the loopback that keeps what it is sent."""

import base64
import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from loopback import Handler, LoopbackServer, running

from heirloom.fetch.settings import HubSource, PathSource
from heirloom.publish.hub import hub_base, push, repository
from heirloom.support.errors import HeirloomError
from heirloom.support.files import read_json

ROOT = Path(__file__).resolve().parents[3]
TOKEN = "hf_aSecretThatNobodyMaySee"
COMMIT = "0123456789abcdef0123456789abcdef01234567"
RECORD = "never-written.json"
MACHINE = "/home/somebody/.cache/heirloom/models/ant-0123"

PUSH = """
import json, sys
from heirloom.support import log
from heirloom.publish.hub import push
log.setup(sys.argv[2], "push")
push(**json.loads(sys.argv[1]))
"""


class Hub(LoopbackServer):
    """As much of the hub as a push asks: create, look, announce, validate, commit."""

    def __init__(self) -> None:
        super().__init__()
        self.private = True
        self.refuse: int | None = None
        self.tokens: set[str | None] = set()
        self.created: list[dict[str, Any]] = []
        self.validated: list[dict[str, Any]] = []
        self.commits: list[tuple[str, dict[str, bytes]]] = []

    def answer(self, handler: Handler, body: bytes) -> None:
        self.tokens.add(handler.headers["Authorization"])
        status, found = self.reply(handler.command, handler.path.split("?")[0], body)
        handler.send(status, found, Content_Type="application/json")

    def reply(self, command: str, path: str, body: bytes) -> tuple[int, Any]:
        if self.refuse:
            return self.refuse, {"error": "You may not write here."}
        if path == "/api/repos/create":
            self.created.append(json.loads(body))
            return 200, {"url": f"{self.address}/datasets/org/name"}
        if path == "/api/validate-yaml":
            self.validated.append(json.loads(body))
            return 200, {"errors": [], "warnings": []}
        if "/preupload/" in path:
            files = [file["path"] for file in json.loads(body)["files"]]
            modes = [{"path": f, "uploadMode": "regular", "shouldIgnore": False} for f in files]
            return 200, {"files": modes}
        if "/commit/" in path:
            lines = [json.loads(line) for line in body.splitlines()]
            files = {
                line["value"]["path"]: base64.b64decode(line["value"]["content"])
                for line in lines
                if line["key"] == "file"
            }
            assert {line["key"] for line in lines} == {"header", "file"}
            self.commits.append((path, files))
            return 200, {
                "success": True,
                "commitOid": COMMIT,
                "commitUrl": f"{self.address}/org/name/commit/{COMMIT}",
            }
        assert command == "GET", path
        return 200, {"id": "org/name", "sha": COMMIT, "private": self.private, "siblings": []}


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with running(Hub()) as found:
        yield found


@pytest.fixture
def student(tmp_path: Path) -> Path:
    """A student's folder with more in it than is to be pushed."""
    folder = tmp_path / "results" / "student"
    (folder / "work").mkdir(parents=True)
    settings = {"peft_type": "LORA", "r": 2, "base_model_name_or_path": MACHINE, "revision": None}
    (folder / "adapter_config.json").write_text(json.dumps(settings))
    (folder / "adapter_model.safetensors").write_bytes(bytes(range(256)))
    (folder / "manifest.json").write_text('{"student": "ant"}')
    (folder / "README.md").write_text("---\nlibrary_name: peft\n---\n\n# ant\n")
    (folder / "optimizer.pt").write_bytes(b"trainer's")
    (folder / "work" / "README.md").write_text("not this one")
    return folder


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    folder = tmp_path / "results" / "dataset"
    folder.mkdir(parents=True)
    (folder / "train.jsonl").write_text('{"prompt": "p"}\n')
    (folder / "card.json").write_text('{"n": 1}')
    (folder / "README.md").write_text("---\nlanguage:\n- en\n---\n\n# data\n")
    (folder / ".train.jsonl.7.partial").write_text("{")
    return folder


def run(hub: Hub, log: Path, **arguments: Any) -> tuple[int, str, str]:
    """Push in a process of its own: the client reads the hub's address when it is imported.

    To org/name and in private, unless the arguments of `push` say otherwise. The record of the push
    is written next to the log.
    """
    record = log.with_suffix(".json")
    arguments = {"record": record, "repository": "org/name", "private": True, **arguments}
    done = subprocess.run(
        [sys.executable, "-c", PUSH, json.dumps(arguments, default=str), str(log)],
        cwd=ROOT,
        env={
            **os.environ,
            "HF_ENDPOINT": hub.address,
            "HF_HOME": str(log.parent / "hf"),
            "HF_HUB_OFFLINE": "0",
            "HF_TOKEN": TOKEN,
        },
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


def written(folder: Path) -> bytes:
    """Everything in the files below a folder."""
    return b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())


def test_a_student_is_pushed_whole_and_nothing_beside_it(
    hub: Hub, student: Path, tmp_path: Path
) -> None:
    status, out, err = run(
        hub,
        tmp_path / "push.log",
        folder=student,
        kind="model",
        base={"name": "ant", "hub": "ants/ant-1b", "revision": COMMIT, "files": None},
    )
    assert status == 0, err
    assert [(c["name"], c["organization"], c["type"]) for c in hub.created] == [
        ("name", "org", "model")
    ]
    assert hub.created[0]["visibility"] == "private"
    ((path, files),) = hub.commits
    assert path == "/api/models/org/name/commit/main"
    assert sorted(files) == [
        "README.md",
        "adapter_config.json",
        "adapter_model.safetensors",
        "manifest.json",
    ]
    for name in ("README.md", "adapter_model.safetensors", "manifest.json"):
        assert files[name] == (student / name).read_bytes()
    # The settings name the base on the hub instead of its folder on this machine.
    settings = json.loads(files["adapter_config.json"])
    assert settings["base_model_name_or_path"] == "ants/ant-1b"
    assert settings["revision"] == COMMIT
    assert settings["peft_type"] == "LORA" and settings["r"] == 2
    assert MACHINE in (student / "adapter_config.json").read_text()

    assert read_json(tmp_path / "push.json") == {
        "repository": "org/name",
        "kind": "model",
        "private": True,
        "commit_url": f"{hub.address}/org/name/commit/{COMMIT}",
        "commit": COMMIT,
        "files": {name: hashlib.sha256(files[name]).hexdigest() for name in sorted(files)},
    }
    # The token reached the hub and nothing else.
    assert f"Bearer {TOKEN}" in hub.tokens
    assert TOKEN not in out + err
    assert TOKEN.encode() not in written(tmp_path)


def test_a_training_set_is_pushed_whole(hub: Hub, dataset: Path, tmp_path: Path) -> None:
    hub.private = False
    status, _, err = run(
        hub,
        tmp_path / "push.log",
        folder=dataset,
        kind="dataset",
        private=False,
    )
    assert status == 0, err
    assert hub.created[0]["type"] == "dataset" and hub.created[0]["visibility"] == "public"
    ((path, files),) = hub.commits
    assert path == "/api/datasets/org/name/commit/main"
    assert files == {
        name: (dataset / name).read_bytes() for name in ("README.md", "card.json", "train.jsonl")
    }
    assert read_json(tmp_path / "push.json")["private"] is False


def test_a_public_repository_gets_nothing_that_is_meant_to_be_private(
    hub: Hub, dataset: Path, tmp_path: Path
) -> None:
    hub.private = False
    status, _, err = run(
        hub,
        tmp_path / "push.log",
        folder=dataset,
        kind="dataset",
    )
    assert status == 1
    assert "org/name exists and is public, but publish.private is set" in err
    assert hub.commits == []


@pytest.mark.parametrize("refusal", [401, 403])
def test_what_the_hub_refuses_is_one_clear_message(
    hub: Hub, dataset: Path, tmp_path: Path, refusal: int
) -> None:
    hub.refuse = refusal
    status, _, err = run(
        hub,
        tmp_path / "push.log",
        folder=dataset,
        kind="dataset",
    )
    assert status == 1
    assert "org/name could not be pushed to the hub: " in err
    assert str(refusal) in err and "HF_TOKEN" in err
    assert "Traceback" not in err
    assert TOKEN not in err and TOKEN.encode() not in written(tmp_path)


@pytest.mark.parametrize("token", [None, " ", f"{TOKEN}\x01", f"{TOKEN}\N{EM DASH}"])
def test_without_a_token_that_can_be_sent_nothing_is_asked(
    dataset: Path, monkeypatch: pytest.MonkeyPatch, token: str | None
) -> None:
    monkeypatch.delenv("HF_TOKEN", raising=False)
    if token is not None:
        monkeypatch.setenv("HF_TOKEN", token)
    with pytest.raises(HeirloomError, match="org/name was not pushed: set HF_TOKEN") as error:
        push(dataset, RECORD, repository="org/name", kind="dataset", private=True)
    assert TOKEN not in str(error.value)


def test_a_file_that_is_missing_is_named(dataset: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    (dataset / "card.json").unlink()
    with pytest.raises(HeirloomError, match=r"card\.json does not exist"):
        push(dataset, RECORD, repository="org/name", kind="dataset", private=True)


def test_names() -> None:
    assert repository("org", "toy", "ant.length-ant.s1") == "org/toy-ant.length-ant.s1"


def test_the_base_on_the_hub_is_the_first_source_there() -> None:
    local, on_hub = PathSource(path=Path("x")), HubSource(hub="ants/ant", revision=COMMIT)
    assert hub_base([local, on_hub, HubSource(hub="others/ant", revision=COMMIT)]) == on_hub
    assert hub_base([local]) is None
