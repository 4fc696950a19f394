"""What a study's report consists of. Without heavy imports: the rules ask before any job runs."""

from heirloom.files import Record


def table_names(plan: Record) -> list[str]:
    """The tables of the study with this plan (plan.json), in the order of the report."""
    calibrated = ["calibration_bins"] if "calibration" in plan["benchmarks"] else []
    return ["changes", "training_sets", "candidates", "profiles", *calibrated, "settings"]


def figure_names(plan: Record) -> list[str]:
    """The figures of the study with this plan, in the order of the report; possibly none."""
    students = [model for model in plan["models"].values() if model["role"] == "student"]
    selections = {plan["datasets"][student["dataset"]]["selection"] for student in students}
    present = {
        "figure1": "best" in selections,
        "figure2": "passive" in selections,
        "figure6": bool(students),
        "reliability": "calibration" in plan["benchmarks"],
    }
    return [name for name, there in present.items() if there]
