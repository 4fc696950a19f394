"""A finished study as an RO-Crate: its inputs, its results, and the workflow that made them.

`ro-crate-metadata.json` is RO-Crate 1.1 (https://w3id.org/ro/crate/1.1) in the profile Workflow Run
Crate 0.5 (https://w3id.org/ro/wfrun/workflow/0.5). Next to it lies a copy of the workflow that ran.
The crate depends on files alone: a crate of the same files is the same.
"""

import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from heirloom.profiling.profile import Profile
from heirloom.publish.crate_entities import (
    BIOSCHEMAS,
    PROFILES,
    SNAKEFILE,
    SNAKEMAKE,
    STUDY_FILE,
    WORKFLOW,
    WORKFLOW_CRATE,
    file_entity,
    folder_entities,
    input_entities,
    license_entity,
    license_reference,
    references,
    software_entity,
    vocabulary,
)
from heirloom.publish.licences import dataset_licenses, student_licenses
from heirloom.report.provenance import describe_run
from heirloom.report.user_text import visible
from heirloom.study.paths import Paths
from heirloom.study.plan import Plan
from heirloom.support.errors import HeirloomError
from heirloom.support.files import Record, read_json, write_json

#: Files and folders of the workflow that are copied, as far as they exist.
_COPIED = (
    *("Snakefile", "rules", "scripts", "heirloom", "report", "envs"),
    *("snakemake_logger_plugin_heirloom", "requirements.lock", "LICENSE"),
)
_CRATE = "https://w3id.org/ro/crate/1.1"


def write_crate(
    root: str | Path,
    outputs: Iterable[str | Path],
    notes: Mapping[str, Iterable[str | Path]],
    *,
    command: str,
    agent: str | None,
) -> None:
    """Write the crate of a finished study and the copy of the workflow.

    Args:
        root: Folder of the study's results, the root of the crate.
        outputs: The study's result files, below it.
        notes: "models", "prompts" and "data" to the notes on what was fetched.
        command: Command that ran the study.
        agent: Organisation or user that publishes the study, if any.

    Raises:
        HeirloomError: A file is missing or malformed, or the copy cannot be written.
    """
    paths = Paths(str(root))
    plan = Plan.read(paths.plan())
    _copy_workflow(paths, plan)
    made = sorted({Path(file).relative_to(root).as_posix() for file in outputs})
    study = _FinishedStudy(paths, plan, made, describe_run(plan, command=command), agent)
    context = [f"{_CRATE}/context", {"sha256": "https://w3id.org/ro/terms/workflow-run#sha256"}]
    graph = study.graph(input_entities(plan.study, notes))
    write_json(paths.crate(), {"@context": context, "@graph": graph})


def _copy_workflow(paths: Paths, plan: Plan) -> None:
    """Copy the workflow into the crate, with the study file that it ran."""
    home, target = Path(__file__).resolve().parents[2], Path(paths.crate_workflow())
    try:
        shutil.rmtree(target, ignore_errors=True)
        for name in _COPIED:
            source, copy = home / name, target / name
            if source.is_dir():
                shutil.copytree(source, copy, ignore=shutil.ignore_patterns("__pycache__", ".*"))
            elif source.exists():
                copy.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(source, copy)
    except OSError as error:
        raise HeirloomError(
            f"{target} could not be written: {error}. Free some space or fix the permissions and "
            "run the same command again."
        ) from error
    write_json(Path(paths.root) / STUDY_FILE, plan.config)


@dataclass(frozen=True)
class _FinishedStudy:
    """A finished study, described as entities of a crate.

    Attributes:
        paths: Paths of the results; their root is the root of the crate.
        plan: The plan.
        made: Result files, below the root, sorted.
        run: Description of the run, from `report.provenance.describe_run`.
        agent: Organisation or user that publishes the study, if any.
    """

    paths: Paths
    plan: Plan
    made: list[str]
    run: Record
    agent: str | None

    @property
    def root(self) -> Path:
        """Root of the crate."""
        return Path(self.paths.root)

    def id(self, path: str | Path) -> str:
        """Id of a file: its path below the root."""
        return Path(path).relative_to(self.root).as_posix()

    def folder_id(self, file: str) -> str:
        """Id of the folder that holds a file."""
        return self.id(Path(file).parent) + "/"

    def graph(self, inputs: list[Record]) -> list[Record]:
        """Return all entities of the crate.

        Args:
            inputs: Inputs of the study, with licences as the study file names them.
        """
        versions = self._versions()
        software = [software_entity(*package) for package in versions]
        files = self._files(software)
        top = [entity["@id"] for entity in files if "/" not in entity["@id"].rstrip("/")]
        newest = max((self.root / path).stat().st_mtime for path in self.made)
        when = datetime.fromtimestamp(newest, UTC).isoformat(timespec="seconds")
        entities = [
            self._descriptor(),
            self._root_entity(top, when),
            self._action(top, [entity["@id"] for entity in inputs], when),
            *files,
            *({**entity, "license": license_reference([entity["license"]])} for entity in inputs),
            *software,
            *vocabulary(dict(versions).get("snakemake", "unknown")),
            *self._agent(),
        ]
        return [*entities, *self._licences(entities, inputs)]

    def _files(self, software: list[Record]) -> list[Record]:
        """All files and folders, training sets, students and the workflow with their origins."""
        copied = Path(self.paths.crate_workflow()).rglob("*")
        code = sorted(self.id(path) for path in copied if path.is_file())
        hashes = self._adapters()
        entities = [file_entity(self.root, p, hashes.get(p)) for p in [*self.made, *code]]
        entities += folder_entities([*self.made, *code])
        origins = self._training_sets() | self._students() | self._workflow(software)
        return [entity | origins.get(entity["@id"], {}) for entity in entities]

    def _adapters(self) -> dict[str, str]:
        """Adapter to its SHA-256 as its profile notes it: they are most of a study's bytes."""
        found = {}
        for student in self.plan.students:
            for benchmark in self.plan.benchmarks[:1]:
                profile = Profile.read(self.paths.profile(student, benchmark))
                adapter = self.paths.student(student, "adapter_model.safetensors")
                found[self.id(adapter)] = profile.revisions["adapter"]
        return found

    def _training_sets(self) -> dict[str, Record]:
        """Training sets: the prompts and candidates each was selected from, and its licence."""
        found = {}
        for name, data in self.plan.datasets.items():
            card = read_json(self.paths.dataset(name, "card.json"))
            candidates = [self.paths.candidates(teacher, data.prompts) for teacher in data.teachers]
            found[self.folder_id(self.paths.dataset(name, "card.json"))] = {
                "name": f"Training set {name}",
                "inLanguage": self.plan.study.prompts[data.prompts].language,
                "license": license_reference(dataset_licenses(self.plan.study, card).values()),
                "isBasedOn": references(
                    [
                        self.id(self.paths.prompts(data.prompts, "train")),
                        *map(self.folder_id, candidates),
                    ]
                ),
            }
        return found

    def _students(self) -> dict[str, Record]:
        """Students: the base and the training set of each, and its licence."""
        found = {}
        for name, model in self.plan.students.items():
            card_file = self.paths.dataset(model.trained_on, "card.json")
            licenses = student_licenses(self.plan.study, model, read_json(card_file))
            found[self.folder_id(self.paths.student(name, "manifest.json"))] = {
                "name": f"Student {name}",
                "license": license_reference(licenses.values()),
                "isBasedOn": references([f"#models-{model.artefact}", self.folder_id(card_file)]),
            }
        return found

    def _workflow(self, software: list[Record]) -> dict[str, Record]:
        """The workflow itself, with its input and its output."""
        return {
            SNAKEFILE: {
                "@type": ["File", "SoftwareSourceCode", "ComputationalWorkflow"],
                "name": "heirloom",
                "conformsTo": {"@id": BIOSCHEMAS},
                "version": self.run["commit"],
                "programmingLanguage": {"@id": SNAKEMAKE},
                "softwareRequirements": references(entity["@id"] for entity in software),
                "input": references(["#study-file"]),
                "output": references(["#report"]),
            },
            STUDY_FILE: {"name": "The study file", "exampleOfWork": {"@id": "#study-file"}},
            self.id(self.paths.report()): {
                "name": "The report",
                "exampleOfWork": {"@id": "#report"},
            },
        }

    def _descriptor(self) -> Record:
        """The metadata file's entity about itself."""
        return {
            "@id": self.id(self.paths.crate()),
            "@type": "CreativeWork",
            "conformsTo": references([_CRATE, WORKFLOW_CRATE]),
            "about": {"@id": "./"},
        }

    def _root_entity(self, top: list[str], when: str) -> Record:
        """The study as a whole; `top` are ids at the root of the crate."""
        return {
            "@id": "./",
            "@type": "Dataset",
            "name": visible(self.plan.title),
            "description": f"The study {self.plan.name}, made by heirloom: training sets that "
            "teachers generated, students finetuned on them, and profiles of all models.",
            "datePublished": when,
            "license": {"@id": "#licenses"},
            "conformsTo": references(PROFILES),
            "mainEntity": {"@id": SNAKEFILE},
            "mentions": {"@id": "#run"},
            "hasPart": references(top),
        }

    def _action(self, top: list[str], inputs: list[str], when: str) -> Record:
        """The run of the study."""
        who = {"agent": {"@id": f"#agent-{self.agent}"}} if self.agent else {}
        return {
            "@id": "#run",
            "@type": "CreateAction",
            "name": f"The run of the study {self.plan.name}",
            "description": self.run["command"],
            "instrument": {"@id": SNAKEFILE},
            "object": references([STUDY_FILE, *inputs]),
            "result": references(id for id in top if id != f"{WORKFLOW}/"),
            "endTime": when,
            "actionStatus": "http://schema.org/CompletedActionStatus",
            **who,
        }

    def _agent(self) -> list[Record]:
        """The organisation that publishes the study, if there is one."""
        if not self.agent:
            return []
        return [{"@id": f"#agent-{self.agent}", "@type": "Organization", "name": self.agent}]

    def _licences(self, entities: list[Record], inputs: list[Record]) -> list[Record]:
        """The licences that entities refer to, and the list of all components' licences."""
        components = [
            f"{e['name']}: {e['license'] or 'not named in the study file'}" for e in inputs
        ]
        named = {entity["license"]["@id"] for entity in entities if "license" in entity}
        return [
            {
                "@id": "#licenses",
                "@type": "CreativeWork",
                "name": "The licences of all components",
                "description": "; ".join(components),
            },
            *map(license_entity, sorted(named - {"#licenses"})),
        ]

    def _versions(self) -> list[tuple[str, str]]:
        """Packages and versions: those that profiles note; for all others, those installed here."""
        found = set()
        for model in self.plan.models:
            for benchmark in self.plan.benchmarks:
                profile = Profile.read(self.paths.profile(model, benchmark))
                generation = profile.revisions.get("generation") or {}
                engines = {k: v for k, v in generation.items() if k not in ("backend", "weights")}
                found |= set((profile.versions | engines).items())
        noted = {name for name, _ in found}
        return sorted(
            found | {item for item in self.run["versions"].items() if item[0] not in noted}
        )
