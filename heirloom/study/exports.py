"""Students that a study writes as whole models, and the files that come of it."""

from dataclasses import dataclass

from heirloom.study.paths import Paths
from heirloom.study.plan import Plan


@dataclass(frozen=True)
class Exports:
    """The exports of a study; none unless it asks for them.

    Attributes:
        plan: The plan of the study.
        paths: The paths of its results.
    """

    plan: Plan
    paths: Paths

    def forms(self) -> dict[str, list[str]]:
        """Students to export, each with its forms: "merged" and "gguf"."""
        export = self.plan.study.export
        if export is None:
            return {}
        names = self.plan.students if export.students is None else export.students
        return {name: list(export.forms) for name in names}

    def weights(self, student: str) -> dict[str, str]:
        """A file that each form of a student surely has, by form."""
        export = self.plan.study.export
        if export is None:
            return {}
        files = {"merged": "merged/config.json", "gguf": f"gguf/{student}-{export.gguf}.gguf"}
        return {form: self.paths.export(student, files[form]) for form in export.forms}

    def cards(self) -> list[str]:
        """Cards, one per student and form."""
        return [
            self.paths.export(student, f"{form}/README.md")
            for student, forms in self.forms().items()
            for form in forms
        ]

    def files(self) -> list[str]:
        """Manifests and cards of all exports."""
        return [*(self.paths.export(name, "manifest.json") for name in self.forms()), *self.cards()]
