"""The study files of docs/how-to, merged over the default study as Snakemake merges them."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGES = ROOT / "docs/how-to"
TASKS = ["benchmark", "endpoint", "model", "objective", "prompts", "reward-model"]
FILE = re.compile(r'^```\w+ title="([^"]+)"\n(.*?)^```$', re.MULTILINE | re.DOTALL)

# In a process of its own: components that a page registers would stay for the tests after it.
PLANNED = """
import json, sys
from pathlib import Path
from snakemake.common.configfile import load_configfile
from snakemake.utils import update_config
from heirloom.study.parse import parse_study
from heirloom.study.plan import make_plan

found = {}
for file in sys.argv[1:]:
    study = load_configfile("config/config.yaml")
    update_config(study, load_configfile(file))
    plan = make_plan(parse_study(study, root=Path.cwd(), files=[file]))
    found[plan.name] = sorted(plan.students)
print(json.dumps(found))
"""


def test_the_default_study_takes_the_file_of_every_page(tmp_path: Path) -> None:
    (tmp_path / "resources").symlink_to(ROOT / "resources")
    (tmp_path / "config").mkdir()
    (tmp_path / "config/config.yaml").symlink_to(ROOT / "config/config.yaml")
    for name in ("models/mine", "models/reward"):  # the folders that pages name
        (tmp_path / name).mkdir(parents=True)
    studies = []
    for task in TASKS:
        for name, text in FILE.findall((PAGES / f"{task}.md").read_text(encoding="utf-8")):
            (tmp_path / name).parent.mkdir(exist_ok=True)
            (tmp_path / name).write_text(text, encoding="utf-8")
            studies += [name] if name.endswith(".yaml") else []
    done = subprocess.run(
        [sys.executable, "-c", PLANNED, *studies],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    students = json.loads(done.stdout)
    assert len(students) == len(TASKS)
    assert "smollm2.questions-multi.s1" in students["my-objective"]
    assert "smollm2.reward-multi.s1" in students["reward"]
    assert "mine.passive-mine.s1" in students["my-model"]
    assert "smollm2.passive-large.s1" in students["endpoint"]


def test_every_task_has_a_page_that_is_listed_and_short() -> None:
    listed = re.findall(r"\]\((\w[\w-]*)\.md\)", (PAGES / "README.md").read_text("utf-8"))
    pages = sorted(page.stem for page in PAGES.glob("*.md") if page.stem != "README")
    assert sorted(listed) == pages == sorted([*TASKS, "cluster", "report"])
    for page in pages:
        assert len((PAGES / f"{page}.md").read_text("utf-8").splitlines()) <= 80, page
