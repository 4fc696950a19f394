"""Cards of a study: a README.md per training set and per student.

Front matter comes from huggingface_hub's own classes, the text from the templates in report/cards/.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path

from heirloom.analyse.results import load_results
from heirloom.analyse.tables import read, table_names
from heirloom.publish.dataset_card import dataset_card
from heirloom.publish.material import Material
from heirloom.publish.model_card import Form, model_card
from heirloom.report.provenance import describe_run
from heirloom.support.files import read_json, write_text

#: The tables that cards are written from, those that the study has.
TABLES = ("changes", "profiles", "training_sets", "complete_pairs", "noise_floor")


def write_cards(
    root: str | Path,
    *,
    command: str,
    namespace: str | None,
    exports: Mapping[str, Iterable[Form]] | None = None,
) -> None:
    """Write the README.md of every training set and student of a study, and of every export.

    Args:
        root: Folder of the study's results, its tables included.
        command: Command that runs the study again.
        namespace: Owner of the repositories on the hub; None if nothing is published.
        exports: Students that are exported, with the forms of each.

    Raises:
        HeirloomError: A file that the plan implies is missing or malformed.
    """
    results = load_results(root)
    plan, paths = results.plan, results.paths
    names = [name for name in table_names(plan) if name in TABLES]
    material = Material(
        results=results,
        tables=read(Path(paths.table("changes")).parent, names),
        manifests={name: read_json(paths.student(name, "manifest.json")) for name in plan.students},
        run=describe_run(plan, command=command),
        namespace=namespace,
    )
    for name in plan.datasets:
        write_text(paths.dataset(name, "README.md"), dataset_card(material, name))
    for name in plan.students:
        write_text(paths.student(name, "README.md"), model_card(material, name))
    for name, forms in (exports or {}).items():
        for form in forms:
            write_text(paths.export(name, f"{form}/README.md"), model_card(material, name, form))
