"""Fixtures of the workflow's tests: a fresh folder, and the tiny study run once for all."""

import os
import subprocess
from pathlib import Path

import pytest
from filelock import FileLock
from workshop import SECRETS, Workshop, cut_off


@pytest.fixture
def workshop(tmp_path: Path, tiny_model: Path) -> Workshop:
    """A fresh folder in which nothing was run."""
    return Workshop.make(tmp_path / "heirloom", tiny_model)


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path) -> Workshop:
    """The tiny study, run once without a network in a clone. Look at it, but change nothing."""
    root = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:  # one for all the processes that share the tests
        root = root.parent
    shop = Workshop(root / "finished/heirloom")
    done = root / "finished/done"
    with FileLock(root / "finished.lock"):
        if not done.exists():
            _finish(Workshop.make(shop.folder, tiny_model))
            done.touch()
    return shop


def _finish(shop: Workshop) -> None:
    git = ["git", "-c", "user.name=test", "-c", "user.email=test@localhost"]
    for command in (["init", "--quiet"], ["add", "."], ["commit", "--quiet", "-m", "clone"]):
        subprocess.run([*git, *command], cwd=shop.folder, check=True)
    shop.environment |= SECRETS
    shop.prefix = cut_off()
    if not shop.prefix:  # the next best: every client is sent to a port where nobody listens
        shop.environment |= {f"{s}_proxy": "http://127.0.0.1:9" for s in ("http", "https", "all")}
    shop.run()


@pytest.fixture
def copied(finished: Workshop, tmp_path: Path) -> Workshop:
    """A copy of the finished tiny study, to be changed."""
    return finished.copy(tmp_path / "heirloom")
