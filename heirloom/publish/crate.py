"""A finished study as an RO-Crate: what went in, what came out, and what made it.

`ro-crate-metadata.json` is RO-Crate 1.1 (https://w3id.org/ro/crate/1.1) in the profile Workflow Run
Crate 0.5 (https://w3id.org/ro/wfrun/workflow/0.5). Beside it lies a copy of the workflow that ran.
Everything in it follows from files: a crate made again of the same files is the same.
"""

import shutil
from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from heirloom.fetch.settings import HubSource, PathSource, Source, UrlSource, WheelSource
from heirloom.publish.cards import combined_license, dataset_licenses
from heirloom.report.provenance import describe_run
from heirloom.study.plan import Plan
from heirloom.support.errors import HeirloomError
from heirloom.support.files import Record, read_json, sha256, write_json

METADATA = "ro-crate-metadata.json"
#: The copy of the workflow, as far as it is there, and the file to run it with.
WORKFLOW = "workflow"
_COPIED = (
    *("Snakefile", "rules", "scripts", "heirloom", "report", "envs"),
    *("requirements.lock", "LICENSE"),
)
_STUDY = f"{WORKFLOW}/study.json"
_MAIN = f"{WORKFLOW}/Snakefile"

_CRATE = "https://w3id.org/ro/crate/1.1"
_WORKFLOW_CRATE = "https://w3id.org/workflowhub/workflow-ro-crate/1.0"
_BIOSCHEMAS = "https://bioschemas.org/profiles/ComputationalWorkflow/1.0-RELEASE"
#: What the crate conforms to: name and version.
_PROFILES = {
    "https://w3id.org/ro/wfrun/process/0.5": ("Process Run Crate", "0.5"),
    "https://w3id.org/ro/wfrun/workflow/0.5": ("Workflow Run Crate", "0.5"),
    _WORKFLOW_CRATE: ("Workflow RO-Crate", "1.0"),
}
_SNAKEMAKE = "https://w3id.org/workflowhub/workflow-ro-crate#snakemake"

#: Folder of the study to what lies there.
_FOLDERS = {
    "prompts": "Prompts, split into train and eval",
    "generations": "All candidates that the teachers wrote",
    "scores": "The score of every candidate by every metric",
    "datasets": "Training sets",
    "students": "Students: adapters, each with its manifest",
    "judge": "Answers of the teachers, and pairs of them for judges",
    "profiles": "Every benchmark's numbers of every model, and a record an example",
    "tables": "Tables",
    "figures": "Figures",
    WORKFLOW: "The workflow as it ran, and the study file with every default spelled out",
}
_FORMATS = {
    ".json": "application/json",
    ".jsonl": "application/jsonl",
    ".csv": "text/csv",
    ".svg": "image/svg+xml",
    ".html": "text/html",
    ".md": "text/markdown",
    ".safetensors": "application/octet-stream",
    ".py": "text/x-python",
}

_SOURCES = TypeAdapter(list[Source])


def write(
    results: str | Path,
    outputs: Iterable[str | Path],
    notes: Mapping[str, Iterable[str | Path]],
    *,
    command: str,
    agent: str | None,
) -> None:
    """Write the crate of the study in `results`, and the copy of the workflow.

    Args:
        results: the study's folder, the root of the crate.
        outputs: the files that the study made, below it.
        notes: "models", "prompts" and "data" to the notes on what was fetched.
        command: how the study was run.
        agent: the organisation or user that the study is published by, if any.

    Raises:
        HeirloomError: a file is missing or malformed, or there is no room.
    """
    root = Path(results)
    plan = read_json(root / "plan.json")
    _copy_workflow(root, plan)
    write_json(
        root / METADATA,
        {
            "@context": [
                f"{_CRATE}/context",
                {"sha256": "https://w3id.org/ro/terms/workflow-run#sha256"},
            ],
            "@graph": _graph(root, plan, outputs, notes, command, agent),
        },
    )


def _copy_workflow(root: Path, plan: Plan) -> None:
    home = Path(__file__).resolve().parents[2]
    try:
        shutil.rmtree(root / WORKFLOW, ignore_errors=True)
        for name in _COPIED:
            source, copy = home / name, root / WORKFLOW / name
            if source.is_dir():
                shutil.copytree(source, copy, ignore=shutil.ignore_patterns("__pycache__", ".*"))
            elif source.exists():
                copy.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(source, copy)
    except OSError as error:
        raise HeirloomError(
            f"{root / WORKFLOW} could not be written: {error}. Free some space or fix the "
            "permissions and run the same command again."
        ) from error
    write_json(root / _STUDY, plan.config)


def _graph(
    root: Path,
    plan: Plan,
    outputs: Iterable[str | Path],
    notes: Mapping[str, Iterable[str | Path]],
    command: str,
    agent: str | None,
) -> list[Record]:
    run = describe_run(plan, command=command)
    made = sorted({Path(file).relative_to(root).as_posix() for file in outputs})
    code = sorted(
        path.relative_to(root).as_posix() for path in (root / WORKFLOW).rglob("*") if path.is_file()
    )
    inputs = _inputs(plan.config, notes)
    versions = _versions(root, plan, run)
    software = [_software(*package) for package in versions]
    hashes = _adapters(root, plan)
    entities = [_file(root, path, hashes.get(path)) for path in [*made, *code]]
    entities += _folders([*made, *code])
    _amend(entities, _made_from(root, plan) | _workflow(run, software))
    tops = [entity["@id"] for entity in entities if "/" not in entity["@id"].rstrip("/")]
    ended = datetime.fromtimestamp(max((root / path).stat().st_mtime for path in made), UTC)
    when = ended.isoformat(timespec="seconds")
    who = {"agent": {"@id": f"#agent-{agent}"}} if agent else {}
    entities = [
        {
            "@id": METADATA,
            "@type": "CreativeWork",
            "conformsTo": _references([_CRATE, _WORKFLOW_CRATE]),
            "about": {"@id": "./"},
        },
        {
            "@id": "./",
            "@type": "Dataset",
            "name": plan.title,
            "description": f"The study {plan['study']}, made by heirloom: training sets that "
            "teachers wrote, students finetuned on them, and profiles of all models.",
            "datePublished": when,
            "license": {"@id": "#licenses"},
            "conformsTo": _references(_PROFILES),
            "mainEntity": {"@id": _MAIN},
            "mentions": {"@id": "#run"},
            "hasPart": _references(tops),
        },
        {
            "@id": "#run",
            "@type": "CreateAction",
            "name": f"The run of the study {plan['study']}",
            "description": command,
            "instrument": {"@id": _MAIN},
            "object": _references([_STUDY, *(entity["@id"] for entity in inputs)]),
            "result": _references(top for top in tops if top != f"{WORKFLOW}/"),
            "endTime": when,
            "actionStatus": "http://schema.org/CompletedActionStatus",
            **who,
        },
        *entities,
        *({**entity, "license": _license([entity["license"]])} for entity in inputs),
        *software,
        *_context(dict(versions).get("snakemake", "unknown")),
    ]
    if agent:
        entities.append({"@id": f"#agent-{agent}", "@type": "Organization", "name": agent})
    parts = [f"{e['name']}: {e['license'] or 'not named in the study file'}" for e in inputs]
    named = {entity["license"]["@id"] for entity in entities if "license" in entity}
    return [
        *entities,
        {
            "@id": "#licenses",
            "@type": "CreativeWork",
            "name": "The licences of all parts",
            "description": "; ".join(parts),
        },
        *map(_license_entity, sorted(named - {"#licenses"})),
    ]


def _references(ids: Iterable[str]) -> Any:
    return _compact([{"@id": id} for id in ids])


def _compact(values: list[Any]) -> Any:
    """One value as it is, several as a list: how RO-Crate writes them."""
    return values[0] if len(values) == 1 else values


def _amend(entities: list[Record], more: Mapping[str, Record]) -> None:
    for entity in entities:
        entity |= more.get(entity["@id"], {})


def _file(root: Path, path: str, checksum: str | None) -> Record:
    """One file; its checksum is computed unless it is known."""
    file = root / path
    if not file.is_file():
        raise HeirloomError(f"{file} does not exist. Run the same command again to make it.")
    kind = _FORMATS.get(file.suffix, "text/plain")
    return {
        "@id": path,
        "@type": "File",
        "name": path.removeprefix(f"{WORKFLOW}/"),
        "encodingFormat": kind,
        "contentSize": str(file.stat().st_size),
        "sha256": checksum or sha256(file),
    }


def _adapters(root: Path, plan: Plan) -> dict[str, str]:
    """Adapter to its checksum, which its profile noted: they are most of a study's bytes."""
    found = {}
    for student in plan.students:
        for benchmark in plan.benchmarks[:1]:
            profile = read_json(root / "profiles" / student / f"{benchmark}.json")
            found[f"students/{student}/adapter_model.safetensors"] = profile["revisions"]["adapter"]
    return found


def _folders(paths: Iterable[str]) -> list[Record]:
    """Every folder that these files are in, with what is in it."""
    contents: dict[str, dict[str, None]] = defaultdict(dict)
    for path in paths:
        inner = path
        while "/" in inner.rstrip("/"):
            folder = inner.rstrip("/").rpartition("/")[0] + "/"
            contents[folder][inner] = None
            inner = folder
    return [
        {
            "@id": folder,
            "@type": "Dataset",
            "name": _FOLDERS.get(folder.rstrip("/"), folder.rstrip("/")),
            "hasPart": _references(inside),
        }
        for folder, inside in contents.items()
    ]


def _made_from(root: Path, plan: Plan) -> dict[str, Record]:
    """Training sets and students: what each was made from, and under which licences that is."""
    config, found, licenses = plan.config, {}, {}
    for name, data in plan.datasets.items():
        card = read_json(root / "datasets" / name / "card.json")
        licenses[name] = list(dataset_licenses(config, card).values())
        found[f"datasets/{name}/"] = {
            "name": f"Training set {name}",
            "license": _license(licenses[name]),
            "isBasedOn": _references(
                [
                    f"prompts/{data['prompts']}/train.jsonl",
                    *(f"generations/{t}/{data['prompts']}/" for t in data.teachers),
                ]
            ),
        }
    for name in plan.students:
        model = plan.models[name]
        base, dataset = model.base, model.dataset
        found[f"students/{name}/"] = {
            "name": f"Student {name}",
            "license": _license([config["models"][base]["license"], *licenses[dataset]]),
            "isBasedOn": _references([f"#models-{base}", f"datasets/{dataset}/"]),
        }
    return found


def _workflow(run: Record, software: list[Record]) -> dict[str, Record]:
    """The workflow itself, with what it takes and what it makes."""
    return {
        _MAIN: {
            "@type": ["File", "SoftwareSourceCode", "ComputationalWorkflow"],
            "name": "heirloom",
            "conformsTo": {"@id": _BIOSCHEMAS},
            "version": run["commit"],
            "programmingLanguage": {"@id": _SNAKEMAKE},
            "softwareRequirements": _references(entity["@id"] for entity in software),
            "input": _references(["#study-file"]),
            "output": _references(["#report"]),
        },
        _STUDY: {"name": "The study file", "exampleOfWork": {"@id": "#study-file"}},
        "report.html": {"name": "The report", "exampleOfWork": {"@id": "#report"}},
    }


def _context(snakemake: str) -> list[Record]:
    """What the crate refers to and does not hold."""
    parameters = {
        "#study-file": ("The study file", _STUDY),
        "#report": ("The report", "report.html"),
    }
    return [
        {
            "@id": _SNAKEMAKE,
            "@type": "ComputerLanguage",
            "name": "Snakemake",
            "version": snakemake,
            "identifier": {"@id": "https://doi.org/10.12688/f1000research.29032.3"},
            "url": {"@id": "https://snakemake.github.io"},
        },
        *(
            {"@id": id, "@type": "CreativeWork", "name": name, "version": version}
            for id, (name, version) in [
                *_PROFILES.items(),
                (_BIOSCHEMAS, ("Bioschemas ComputationalWorkflow", "1.0-RELEASE")),
            ]
        ),
        *(
            {
                "@id": id,
                "@type": "FormalParameter",
                "additionalType": "File",
                "name": name,
                "workExample": {"@id": example},
            }
            for id, (name, example) in parameters.items()
        ),
    ]


def _inputs(config: Record, notes: Mapping[str, Iterable[str | Path]]) -> list[Record]:
    """Models, prompt sources and data: where each can be had, its checksum and its licence."""
    found = []
    for kind, files in notes.items():
        for file in files:
            note = read_json(file)
            artefact = config[kind][note["name"]]
            sources = _SOURCES.validate_python(artefact["sources"])
            named = [name for source in sources for name in identifiers(source)]
            endpoint = artefact.get("endpoint")  # a model has one, or sources
            checksum = {"sha256": note["sha256"]} if "sha256" in note else {}
            found.append(
                {
                    "@id": f"#{kind}-{note['name']}",
                    "@type": "CreativeWork",
                    "name": f"{kind}: {note['name']}",
                    "identifier": _compact([endpoint["url"]] if endpoint else named),
                    **checksum,
                    "license": artefact["license"],
                }
            )
    return found


def identifiers(source: Source) -> list[str]:
    """What a source is called everywhere: its address, or a package URL (purl).

    Of a path outside of the folder that studies are run in only the last part: the rest says
    something about this machine and nothing about the file.
    """
    match source:
        case UrlSource():
            return [source.url]
        case HubSource():
            kind = "?repo_type=dataset" if source.repo_type == "dataset" else ""
            purl = f"pkg:huggingface/{source.hub}@{source.revision}{kind}"
            return [f"{purl}#{file}" for file in source.files or ()] or [purl]
        case WheelSource():
            parts = [(*part.wheel.split("=="), part.member) for part in source.parts]
            return [f"pkg:pypi/{name}@{version}#{member}" for name, version, member in parts]
        case PathSource():
            local = source.path.is_absolute() or ".." in source.path.parts
            return [source.path.name if local or "~" in source.path.parts else str(source.path)]


def _versions(root: Path, plan: Plan, run: Record) -> list[tuple[str, str]]:
    """Packages and their versions: those that the profiles noted, and of the others those here."""
    found = set()
    for model in plan.models:
        for benchmark in plan.benchmarks:
            profile = read_json(root / "profiles" / model / f"{benchmark}.json")
            generation = profile["revisions"].get("generation") or {}
            engines = {k: v for k, v in generation.items() if k not in ("backend", "weights")}
            found |= set((profile["versions"] | engines).items())
    noted = {name for name, _ in found}
    return sorted(found | {item for item in run["versions"].items() if item[0] not in noted})


def _software(name: str, version: str) -> Record:
    kind = "generic" if name == "python" else "pypi"
    return {
        "@id": f"pkg:{kind}/{name}@{version}",
        "@type": "SoftwareApplication",
        "name": name,
        "softwareVersion": version,
    }


def _license(parts: Iterable[str | None]) -> dict[str, str]:
    front = combined_license(parts)
    return {"@id": f"#license-{front.get('license_name', front.get('license', 'unknown'))}"}


def _license_entity(id: str) -> Record:
    name = id.removeprefix("#license-")
    if name == "unknown":
        description = "The study file does not name the licence of every part."
    elif "-and-" in name:
        description = "Parts are under different licences: those of all of them hold."
    else:
        description = f"The licence that the Hugging Face hub calls {name}."
    return {"@id": id, "@type": "CreativeWork", "name": name, "description": description}
