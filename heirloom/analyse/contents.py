"""What a study's report consists of. Without heavy imports: the rules ask before any job runs."""

import re

from heirloom.study.plan import Plan


def table_names(plan: Plan) -> list[str]:
    """The tables of the study with this plan (plan.json), in the order of the report."""
    calibrated = ["calibration_bins"] if "calibration" in plan.benchmarks else []
    judged = ["agreement"] if "judge" in plan.benchmarks else []
    chosen = any(data.selection == "best" for data in plan.datasets.values())
    selected = ["selection", "winners", "inheritance"] if chosen else []
    return [
        *("changes", "training_sets", *selected, "candidates", "profiles"),
        *(*calibrated, *judged, "settings"),
    ]


def study_table_names(compare_with: list[str]) -> list[str]:
    """The tables that put these other studies beside the study, in the order of the report."""
    return ["studies", "study_settings"] if compare_with else []


def figure_names(plan: Plan) -> list[str]:
    """The figures of the study with this plan, in the order of the report; possibly none."""
    students = [model for model in plan.models.values() if model.role == "student"]
    learnt = [plan.datasets[student.dataset] for student in students]
    selections = {data.selection for data in learnt}
    sources = {len(data.teachers) > 1 for data in learnt if data.selection == "best"}
    present = {
        "figure1": "best" in selections,
        "figure2": "passive" in selections,
        "figure3": "judge" in plan.benchmarks and bool(students),
        "figure4": len(sources) == 2,
        "figure5": any(data.k for data in learnt),
        "figure6": bool(students),
        "reliability": "calibration" in plan.benchmarks,
    }
    return [name for name, there in present.items() if there]


def title_of(name: str) -> str:
    """A figure's or table's name for a reader: "Figure 1", "Training sets"."""
    return re.sub(r"(?<=[a-z])(?=\d)", " ", name).replace("_", " ").capitalize()
