"""Pages for contributors: examples that run, and hooks that check what `make lint` checks."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from docs.draw_map import FILE, needed, street, with_map

ROOT = Path(__file__).resolve().parents[2]

# Asked of every registry in a process of its own: components that a test registers would be in the
# registries of all tests after it.
NAMES = """
from heirloom.analyse.tables import TABLES
from heirloom.finetune.methods import METHODS
from heirloom.generate.backends import BACKENDS
from heirloom.objectives import SCORERS
from heirloom.profiling import BENCHMARKS
from heirloom.report.figures import FIGURES
from heirloom.select.strategies import STRATEGIES

registries = [SCORERS, BENCHMARKS, BACKENDS, STRATEGIES, METHODS, TABLES, FIGURES]
print(*(name for registry in registries for name in registry.names()))
"""

# The metric that measures the objective, its unit, and the score of a text.
MEASURED = """
import json, sys
from pathlib import Path
from heirloom.objectives.scoring import score
from heirloom.study.parse import parse_study
from heirloom.study.plan import make_plan

plan = make_plan(parse_study(json.loads(Path(sys.argv[1]).read_text()), root=Path.cwd()))
measured = plan.objectives["questions"].measured_by
unit = plan.measures["text"]["questions"].unit
print(measured, unit, *score(plan.study.metrics["questions"].function, ["Why? How? When?"]))
"""


@pytest.mark.parametrize(
    ("page", "expected"),
    [
        ("docs/how-to/objective.md", {"questions"}),
        ("docs/how-to/benchmark.md", {"hedging"}),
        ("docs/how-to/reward-model.md", {"reward"}),
        (
            "CONTRIBUTING.md",
            {"shouting", "vowels", "echo", "shortest", "dora", "longest", "ladder"},
        ),
    ],
)
def test_examples_register(page: str, expected: set[str], tmp_path: Path) -> None:
    """Every Python example on the page, saved as a module of a plugin, registers its component."""
    text = (ROOT / page).read_text(encoding="utf-8")
    package = tmp_path / "my_lab"
    package.mkdir()
    examples = re.findall(r"```python.*?\n(.*?)```", text, re.DOTALL)
    for number, example in enumerate(examples):
        (package / f"example_{number}.py").write_text(example, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-c", NAMES],
        cwd=ROOT,
        env={**os.environ, "HEIRLOOM_PLUGINS": "my_lab", "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert expected <= set(done.stdout.split())


def test_the_objective_of_the_page_is_one_that_a_study_accepts(tmp_path: Path) -> None:
    """Its scorer and its lines in a study file, which leave out what measures it."""
    text = (ROOT / "docs/how-to/objective.md").read_text(encoding="utf-8")
    (scorer,) = re.findall(r"```python.*?\n(.*?)```", text, re.DOTALL)
    lab = tmp_path / "my_lab"
    lab.mkdir()
    (lab / "questions.py").write_text(scorer, encoding="utf-8")
    (lines,) = re.findall(r"```yaml.*?\n(.*?)```", text, re.DOTALL)
    study = yaml.safe_load((ROOT / "config/config.yaml").read_text(encoding="utf-8"))
    for key, value in yaml.safe_load(lines).items():
        study[key] = {**study[key], **value} if isinstance(value, dict) else value
    (tmp_path / "study.json").write_text(json.dumps(study), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-c", MEASURED, str(tmp_path / "study.json")],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.split() == ["text.questions", "questions", "3.0"], done.stderr


@pytest.fixture(scope="module")
def page() -> str:
    return FILE.read_text(encoding="utf-8")


def test_the_map_is_the_one_that_the_code_gives(page: str) -> None:
    assert with_map(page) == page, "run `make docs`"


def test_no_arrow_of_the_map_runs_back(page: str) -> None:
    """Every package of the library is a box, and every arrow leads on along the street."""
    found = re.search(r"<!-- map -->\n(.*?)<!-- end -->", page, re.DOTALL)
    assert found is not None
    boxes = re.findall(r'^    (\w+)\["', found[1], re.MULTILINE)
    packages = {path.parent.name for path in (ROOT / "heirloom").glob("*/__init__.py")}
    assert boxes == street() and set(boxes) == packages
    arrows = re.findall(r"^    (\w+) --> (\w+)$", found[1], re.MULTILINE)
    assert len(arrows) >= len(boxes) - 1
    assert [(a, b) for a, b in arrows if boxes.index(a) >= boxes.index(b)] == []


def test_arrows_that_follow_from_others_are_left_out() -> None:
    imports = {"a": set(), "b": {"a"}, "c": {"b", "a"}, "d": {"c", "a"}, "e": {"b", "d"}}
    assert needed(imports) == {"a": set(), "b": {"a"}, "c": {"b"}, "d": {"c"}, "e": {"d"}}


def test_hooks_run_what_make_lint_runs() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    recipe = re.search(r"^lint:.*\n((?:\t.*\n)+)", makefile, re.MULTILINE)
    assert recipe
    variables = {"$(BIN)": ".venv/bin", "$(CHECKS)": ".venv-checks"}
    commands = recipe[1].replace("\t", "").splitlines()
    for name, value in variables.items():
        commands = [command.replace(name, value) for command in commands]
    (local,) = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))[
        "repos"
    ]
    assert [hook["entry"] for hook in local["hooks"]] == commands
    assert all(hook["language"] == "system" for hook in local["hooks"])


def test_every_contract_test_is_there() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`(tests/unit/\w+/test_contract\.py)`", text))
    assert len(named) == 7
    assert {name for name in named if not (ROOT / name).exists()} == set()
