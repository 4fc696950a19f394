"""Input of the cards, and the sections that data cards and model cards share."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

import pandas as pd

from heirloom.analyse.offence import may_offend
from heirloom.analyse.results import Results
from heirloom.fetch.settings import Artefact, HubSource, PathSource, Source, describe
from heirloom.publish.hub import repository
from heirloom.publish.licences import terms
from heirloom.report.findings.limits import scorer_caveats
from heirloom.report.user_text import shown, visible
from heirloom.report.wording import count, listed, number
from heirloom.select.strategies import STRATEGIES
from heirloom.study.config import Study
from heirloom.study.plan import Plan
from heirloom.support.files import Record

TEMPLATES = Path(__file__).resolve().parents[2] / "report" / "cards"


@dataclass(frozen=True)
class Material:
    """Everything that cards are written from.

    Attributes:
        results: The study's results.
        tables: Name to table: `changes`, `profiles`, `training_sets`, and `complete_pairs` and
            `noise_floor` where there is one.
        manifests: Student to its manifest.
        run: Description of the run, from `report.provenance.describe_run`.
        namespace: Owner of the repositories on the hub; None if nothing is published.
    """

    results: Results
    tables: Mapping[str, pd.DataFrame]
    manifests: Mapping[str, Record]
    run: Record
    namespace: str | None

    @property
    def plan(self) -> Plan:
        """The plan of the study."""
        return self.results.plan

    @property
    def study(self) -> Study:
        """The study file."""
        return self.results.plan.study

    def language(self, dataset: str) -> str:
        """Language tag of a training set, which is that of its prompts."""
        return self.study.prompts[self.plan.datasets[dataset].prompts].language

    def repository(self, name: str) -> str | None:
        """Repository of a training set or a student on the hub; None if nothing is published."""
        return repository(self.namespace, self.plan.name, name) if self.namespace else None


def render(template: str, **values: Any) -> str:
    """Return the text of a card.

    Args:
        template: File name of a template in report/cards/.
        values: Variables of the template; one that is missing is an error.
    """
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        finalize=shown,
    )
    environment.filters |= {"number": number, "count": count, "listed": listed, "cell": _cell}
    return environment.get_template(template).render(**values)


def _cell(text: str) -> str:
    """Text for a cell of a Markdown table."""
    return " ".join(visible(text).split()).replace("|", "\\|")


def shared_values(material: Material, dataset: str, licenses: Mapping[str, str | None]) -> Record:
    """Return the template variables of both cards: the study, and how a training set was made."""
    plan, study = material.plan, material.study
    data = plan.datasets[dataset]
    prompts = study.prompts[data.prompts]
    return {
        "study": plan.name,
        "title": plan.title,
        "seed": plan.seed,
        "teachers": [model_origin(material, teacher) for teacher in data.teachers],
        "prompts": _origins(data.prompts, prompts),
        "prompts_format": prompts.format,
        "language": prompts.language,
        "max_new_tokens": prompts.max_new_tokens,
        "generate": study.generate,
        "data": data,
        "objective": plan.objectives[data.objective] if data.objective else None,
        "strategy": STRATEGIES.get(data.selection),
        "caveats": [text for _, text in scorer_caveats(plan)],
        "offensive": may_offend(plan, prompts=data.prompts),
        "licenses": licenses,
        "terms": terms(licenses),
        "run": material.run,
    }


def model_origin(material: Material, name: str) -> Record:
    """Name, sources and checksum of a model, the checksum as the model's profiles note it."""
    noted = [profile.revisions["model"] for profile in material.results.profiles[name].values()]
    model = material.study.models[name]
    found = _origins(name, model)
    if endpoint := model.endpoint:
        found["sources"] = [f"`{endpoint.model}` behind the endpoint `{endpoint.url}`"]
    return {**found, "sha256": noted[0]} if noted else found


def _origins(name: str, artefact: Artefact) -> Record:
    """Name, sources and checksum of a model or a prompt set; the checksum is None if not given."""
    return {
        "name": name,
        "sources": [_origin(source) for source in artefact.sources],
        "sha256": next((source.sha256 for source in artefact.sources if source.sha256), None),
    }


def _origin(source: Source) -> str:
    """A source, described without folders that exist on this machine only."""
    if isinstance(source, PathSource):
        inside = not source.path.is_absolute() and source.path.parts[:1] not in [("~",), ("..",)]
        shown = source.path if inside else PurePath(source.path.name)
        return f"the study's own `{shown.as_posix()}`"
    if isinstance(source, HubSource):
        files = f", `{'`, `'.join(source.files)}`" if source.files else ""
        return f"`{source.hub}` on the hub, revision `{source.revision}`{files}"
    return f"`{describe(source)}`"


def tags(material: Material, dataset: str) -> list[str]:
    """Return the hub's tags of a training set, which its students have as well."""
    data = material.plan.datasets[dataset]
    kind = STRATEGIES.get(data.selection).tag
    offensive = ["not-for-all-audiences"] if may_offend(material.plan, prompts=data.prompts) else []
    return ["heirloom", "synthetic", kind, *offensive]


def quoted(text: str) -> str:
    """Text as a JSON string, in which line breaks and spaces at its ends show."""
    return json.dumps(text, ensure_ascii=False)
