"""Entities of an RO-Crate: files, folders, inputs, software, licences and vocabulary."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from heirloom.fetch.settings import Artefact, HubSource, PathSource, Source, UrlSource, WheelSource
from heirloom.publish.licences import combined_license
from heirloom.study.config import Study
from heirloom.support.errors import HeirloomError
from heirloom.support.files import Record, read_json, sha256

#: Folder within the crate that holds the copy of the workflow.
WORKFLOW = "workflow"
STUDY_FILE = f"{WORKFLOW}/study.json"
SNAKEFILE = f"{WORKFLOW}/Snakefile"

BIOSCHEMAS = "https://bioschemas.org/profiles/ComputationalWorkflow/1.0-RELEASE"
WORKFLOW_CRATE = "https://w3id.org/workflowhub/workflow-ro-crate/1.0"
#: Profiles that the crate conforms to: identifier to name and version.
PROFILES = {
    "https://w3id.org/ro/wfrun/process/0.5": ("Process Run Crate", "0.5"),
    "https://w3id.org/ro/wfrun/workflow/0.5": ("Workflow Run Crate", "0.5"),
    WORKFLOW_CRATE: ("Workflow RO-Crate", "1.0"),
}
SNAKEMAKE = "https://w3id.org/workflowhub/workflow-ro-crate#snakemake"

#: Folder of the study to a description of its contents.
_FOLDERS = {
    "prompts": "Prompts, split into train and eval",
    "generations": "All candidates that the teachers generated",
    "scores": "The score of every candidate under every metric",
    "datasets": "Training sets",
    "students": "Students: adapters, each with its manifest",
    "judge": "The teachers' completions, and the pairs of them that judges compare",
    "profiles": "Metrics of every model under every benchmark, with one record per example",
    "compared_answers": "Verdicts of judges on the answers of students",
    "tables": "Tables",
    "figures": "Figures",
    WORKFLOW: "The workflow as it ran, and the study file with all defaults filled in",
}
_FORMATS = {
    ".json": "application/json",
    ".jsonl": "application/jsonl",
    ".csv": "text/csv",
    ".parquet": "application/vnd.apache.parquet",
    ".svg": "image/svg+xml",
    ".html": "text/html",
    ".md": "text/markdown",
    ".safetensors": "application/octet-stream",
    ".py": "text/x-python",
}


def references(ids: Iterable[str]) -> Any:
    """Return references to the entities with these ids."""
    return compact([{"@id": id} for id in ids])


def compact(values: list[Any]) -> Any:
    """Return a single value as itself and several as a list, as RO-Crate writes them."""
    return values[0] if len(values) == 1 else values


def file_entity(root: Path, path: str, checksum: str | None) -> Record:
    """Describe one file.

    Args:
        root: Root of the crate.
        path: Path of the file below it.
        checksum: SHA-256 of the file; None: it is computed.

    Raises:
        HeirloomError: The file does not exist.
    """
    file = root / path
    if not file.is_file():
        raise HeirloomError(f"{file} does not exist. Run the same command again to make it.")
    return {
        "@id": path,
        "@type": "File",
        "name": path.removeprefix(f"{WORKFLOW}/"),
        "encodingFormat": _FORMATS.get(file.suffix, "text/plain"),
        "contentSize": str(file.stat().st_size),
        "sha256": checksum or sha256(file),
    }


def folder_entities(paths: Iterable[str]) -> list[Record]:
    """Describe every folder that holds one of these files, with its contents."""
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
            "hasPart": references(inside),
        }
        for folder, inside in contents.items()
    ]


def input_entities(study: Study, notes: Mapping[str, Iterable[str | Path]]) -> list[Record]:
    """Describe the inputs of a study: where each can be obtained, its checksum and its licence.

    Args:
        study: The study file.
        notes: "models", "prompts" and "data" to the notes on what was fetched.

    Returns:
        Entities whose `license` is the study file's identifier, or None where it names none.
    """
    sections: dict[str, Mapping[str, Artefact]] = {
        "models": study.models,
        "prompts": study.prompts,
        "data": study.data,
    }
    found = []
    for kind, files in notes.items():
        for file in files:
            note = read_json(file)
            name = note["name"]
            artefact = sections[kind][name]
            # A model has an endpoint or sources.
            endpoint = study.models[name].endpoint if kind == "models" else None
            named = [id for source in artefact.sources for id in identifiers(source)]
            checksum = {"sha256": note["sha256"]} if "sha256" in note else {}
            language = {"inLanguage": study.prompts[name].language} if kind == "prompts" else {}
            found.append(
                {
                    "@id": f"#{kind}-{name}",
                    "@type": "CreativeWork",
                    "name": f"{kind}: {name}",
                    "identifier": compact([endpoint.url] if endpoint else named),
                    **checksum,
                    **language,
                    "license": artefact.license,
                }
            )
    return found


def identifiers(source: Source) -> list[str]:
    """Return names of a source that hold everywhere: an address, or package URLs (purl).

    A path outside the folder that studies are run in is reduced to its last component: the rest
    describes this machine, not the file.
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


def software_entity(name: str, version: str) -> Record:
    """Describe a package."""
    kind = "generic" if name == "python" else "pypi"
    return {
        "@id": f"pkg:{kind}/{name}@{version}",
        "@type": "SoftwareApplication",
        "name": name,
        "softwareVersion": version,
    }


def license_reference(components: Iterable[str | None]) -> dict[str, str]:
    """Return the reference to the combined licence of something with these components."""
    front = combined_license(components)
    return {"@id": f"#license-{front.get('license_name', front.get('license', 'unknown'))}"}


def license_entity(id: str) -> Record:
    """Describe a licence that `license_reference` refers to."""
    name = id.removeprefix("#license-")
    if name == "unknown":
        description = "The study file does not name the licence of every component."
    elif "-and-" in name:
        description = "Components are under different licences, all of which apply."
    else:
        description = f"The licence that the Hugging Face hub calls {name}."
    return {"@id": id, "@type": "CreativeWork", "name": name, "description": description}


def vocabulary(snakemake: str) -> list[Record]:
    """Describe what the crate refers to and does not hold: Snakemake, profiles, parameters.

    Args:
        snakemake: Version of Snakemake.
    """
    parameters = {
        "#study-file": ("The study file", STUDY_FILE),
        "#report": ("The report", "report.html"),
    }
    standards = PROFILES | {BIOSCHEMAS: ("Bioschemas ComputationalWorkflow", "1.0-RELEASE")}
    return [
        {
            "@id": SNAKEMAKE,
            "@type": "ComputerLanguage",
            "name": "Snakemake",
            "version": snakemake,
            "identifier": {"@id": "https://doi.org/10.12688/f1000research.29032.3"},
            "url": {"@id": "https://snakemake.github.io"},
        },
        *(
            {"@id": id, "@type": "CreativeWork", "name": name, "version": version}
            for id, (name, version) in standards.items()
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
