"""Locks where there are none, and caches that cannot be written."""

import errno
import fcntl
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from completion_server import serving

from heirloom.fetch.cache import build_once
from heirloom.generate.completions import generate
from heirloom.generate.endpoint import RemoteModel
from heirloom.generate.request import Prompt, Request, Sampling
from heirloom.generate.settings import Endpoint
from heirloom.generate.templates import PromptTemplate
from heirloom.support import locks
from heirloom.support.errors import HeirloomError
from heirloom.support.files import read_json, write_text
from heirloom.support.locks import locked
from heirloom.support.result_store import ResultStore
from heirloom.support.work_folder import claimed

REQUEST = Request(samples=1, max_new_tokens=8, sampling=Sampling(), seed=1)


@contextmanager
def read_only(folder: Path) -> Iterator[None]:
    """Mount a folder read-only over itself."""
    folder.mkdir(parents=True, exist_ok=True)
    mount = ["mount", "--bind", str(folder), str(folder)]
    if os.geteuid() != 0 or subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("only root may mount a folder read-only")
    try:
        subprocess.run(["mount", "-o", "remount,ro,bind", str(folder)], check=True)
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP])
def test_without_locks_there_is_one_warning(
    number: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(*given: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", refuse)
    locks._warned.clear()
    for share in ("1-of-2", "2-of-2"):
        with claimed(tmp_path / "work", {"seed": 1}, share=share):
            write_text(tmp_path / "work" / share, "part")
    assert build_once(tmp_path / "model", lambda folder: {"a": 1}) == {"a": 1}
    # The second job found the first one's folder as its own and emptied nothing.
    assert (tmp_path / "work/1-of-2").exists() and (tmp_path / "work/2-of-2").exists()
    warnings = [r.message for r in caplog.records if "without locks" in r.message]
    assert len(warnings) == 1 and str(tmp_path) in warnings[0]


def test_a_lock_is_waited_for(tmp_path: Path) -> None:
    with locked(tmp_path / "lock") as held:
        assert held
        with (tmp_path / "lock").open() as again, pytest.raises(BlockingIOError):
            fcntl.flock(again, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_a_read_only_cache_that_has_everything_is_read(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    store = ResultStore(cache / "students")
    prompts = [Prompt("p", "Name a bird.")]
    with serving() as server:
        endpoint = Endpoint.model_validate({"url": server.url, "model": "writer"})
        remote = RemoteModel("writer", endpoint, PromptTemplate(), cache / "answers")
        made = generate(remote, prompts, REQUEST, work=tmp_path / "unused")
        with claimed(cache / "parts", {"seed": 1}):
            write_text(cache / "parts/part-0", "text")
        build_once(cache / "model", lambda folder: {"a": 1})
        store.add(1, {"a": "text"})
        asked = len(server.asked)
        with read_only(cache):
            assert generate(remote, prompts, REQUEST, work=tmp_path / "unused") == made
            with claimed(cache / "parts", {"seed": 1}):
                assert (cache / "parts/part-0").read_text() == "text"
            assert build_once(cache / "model", lambda folder: {}) == {"a": 1}
            assert store.find(1)
            # What is missing cannot be kept: said before anything is asked for.
            more = [*prompts, Prompt("q", "Name a tree.")]
            with pytest.raises(HeirloomError, match="could not be written: Read-only file system"):
                generate(remote, more, REQUEST, work=tmp_path / "unused")
            with (
                pytest.raises(HeirloomError, match="could not be written"),
                claimed(cache / "parts", {"seed": 2}),
            ):
                pass
            with pytest.raises(HeirloomError, match="point HEIRLOOM_CACHE at another folder"):
                build_once(cache / "other", lambda folder: {})
        assert len(server.asked) == asked
    assert read_json(cache / "model/manifest.json") == {"a": 1}


def test_another_user_s_lock_is_no_obstacle(tmp_path: Path) -> None:
    """A second user reads what the first has made, and may write none of it."""
    script = (
        "import os, sys\n"
        "from pathlib import Path\n"
        "from heirloom.support.work_folder import claimed\n"
        "from heirloom.support.result_store import ResultStore\n"
        "os.setgid(65534); os.setuid(65534)\n"
        "cache = Path(sys.argv[1])\n"
        "with claimed(cache / 'parts', {'seed': 1}):\n"
        "    print((cache / 'parts/part-0').read_text())\n"
        "print(ResultStore(cache / 'students').find(1)['a'].read_text())\n"
    )
    if os.geteuid() != 0:
        pytest.skip("only root may become another user")
    with claimed(tmp_path / "parts", {"seed": 1}):
        write_text(tmp_path / "parts/part-0", "text")
    ResultStore(tmp_path / "students").add(1, {"a": "kept"})
    # In a folder that everybody may enter, unlike pytest's own.
    with tempfile.TemporaryDirectory() as public:
        shutil.copytree(tmp_path, f"{public}/cache")
        for folder in (Path(public), Path(public, "cache")):
            folder.chmod(0o755)
        command = [sys.executable, "-c", script, f"{public}/cache"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stdout.split() == ["text", "kept"], done.stderr
