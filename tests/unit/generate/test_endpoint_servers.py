"""Endpoints as people run them: transformers' own server with a tiny model, on loopback."""

import json
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from completion_server import drop, says, serving, status

from heirloom.generate import client as endpoints
from heirloom.generate.completions import generate
from heirloom.generate.endpoint import RemoteModel
from heirloom.generate.model import Engine, load_model
from heirloom.generate.request import Prompt, Request, Sampling
from heirloom.generate.settings import Endpoint
from heirloom.generate.templates import PromptTemplate
from heirloom.support.errors import HeirloomError
from heirloom.support.files import Record

PROMPTS = [Prompt(f"p{n}", f"Name {n} colours.") for n in range(6)]


@pytest.fixture(scope="module")
def transformers_server(
    tiny_model: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, Path]]:
    """transformers' own server: its address, and the folder of the tiny model that it serves."""
    for package in ("fastapi", "uvicorn", "openai"):
        pytest.importorskip(package, reason="`transformers serve` needs it")
    folder = tmp_path_factory.mktemp("served") / "tiny"
    shutil.copytree(tiny_model, folder)
    # It samples only if the model says so; a request decides the temperature alone.
    settings = json.loads((folder / "generation_config.json").read_text())
    (folder / "generation_config.json").write_text(json.dumps({**settings, "do_sample": True}))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "transformers.cli.transformers", "serve", str(folder)]
    options = ["--host", "127.0.0.1", "--port", str(port), "--device", "cpu", "--dtype", "float32"]
    log = (folder.parent / "log").open("wb")
    server = subprocess.Popen([*command, *options], stdout=log, stderr=subprocess.STDOUT)
    deadline = time.monotonic() + 120
    try:
        while True:
            try:
                requests.get(f"http://127.0.0.1:{port}/health", timeout=5).raise_for_status()
                break
            except requests.RequestException:
                said = (folder.parent / "log").read_text()
                assert server.poll() is None and time.monotonic() < deadline, said
                time.sleep(0.2)
        yield f"http://127.0.0.1:{port}/v1", folder
    finally:
        server.terminate()
        server.wait()
        log.close()


def served(address: tuple[str, Path], kept: Path, template: PromptTemplate) -> RemoteModel:
    settings = {"model": str(address[1]), "api": "openai", "requests": 1, "timeout": 60}
    return RemoteModel("tiny", Endpoint(url=address[0], **settings), template, kept)


def write(model: RemoteModel, request: Request) -> list[Record]:
    return generate(model, PROMPTS, request, work=model.kept)


@pytest.mark.parametrize("format", ["instruction", "continuation"])
@pytest.mark.parametrize("template", ["chat", "Question: {prompt}"])
def test_transformers_server_writes_what_the_model_writes_here(
    transformers_server: tuple[str, Path], tmp_path: Path, template: str, format: Any
) -> None:
    """Greedily: the very text of our own back end, whatever the way of asking."""
    shown = PromptTemplate(template)
    request = Request(1, 16, Sampling(0), seed=1, format=format)
    here = load_model(
        transformers_server[1],
        name="tiny",
        prompt_template=shown,
        dtype="float32",
        engine=Engine("transformers"),
    )
    expected = generate(here, PROMPTS, request, work=tmp_path / "work")
    assert len({record["completion"] for record in expected}) > 1
    assert write(served(transformers_server, tmp_path / "kept", shown), request) == expected


def test_transformers_server_samples_by_our_seeds_through_faults(
    transformers_server: tuple[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One request at a time: that server seeds its whole process, not a request."""
    monkeypatch.setattr(endpoints, "_FIRST_DELAY", 0.02)
    request = Request(2, 16, Sampling(), seed=1)
    address, folder = transformers_server
    unbroken = write(served((address, folder), tmp_path / "unbroken", PromptTemplate()), request)
    assert len({record["completion"] for record in unbroken}) == len(unbroken) == 12
    with serving(upstream=address) as proxy:
        proxy.faults.extend([status(429, Retry_After="0"), status(500), says(b"<html>"), drop])
        proxy.dies_after = 7
        model = served((proxy.url, folder), tmp_path / "kept", PromptTemplate())
        with pytest.raises(HeirloomError, match="7 of 12 missing completions are kept now"):
            write(model, request)
        proxy.dies_after = None
        assert write(model, request) == unbroken
        assert len(proxy.answered) == 12
