"""Profiles that were measured before, by the content of everything that determines them.

Each benchmark has its own entry, so that changing one measures the others no second time.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from heirloom.objectives import load
from heirloom.objectives.scoring import files_named
from heirloom.profiling import BENCHMARKS
from heirloom.profiling.assignment import Assignment, Subject
from heirloom.profiling.profile import Profile
from heirloom.support.files import Record, copy_file, read_json, sha256
from heirloom.support.machine import computed_in
from heirloom.support.result_store import ResultStore, digests, versions
from heirloom.support.work_folder import fingerprint

_PROFILE, _RECORDS = "profile.json", "records.jsonl"


@dataclass(frozen=True)
class Known:
    """Profiles of earlier jobs.

    Attributes:
        store: Where they are kept.
        code: Benchmark to the files that define its numbers.
    """

    store: ResultStore
    code: Mapping[str, Sequence[str | Path]]

    def identity(
        self,
        subject: Subject,
        assignment: Assignment,
        notes: Mapping[str, str | Path],
        seed: int,
    ) -> Record | None:
        """Everything that determines a profile, as JSON.

        None for a model behind an endpoint: its answers are kept, and may be asked for again.

        Args:
            subject: The model.
            assignment: The benchmark.
            notes: Data set to the fetch stage's note on it.
            seed: Seed of the study.
        """
        note = read_json(subject.note)
        if "endpoint" in note:
            return None
        benchmark = BENCHMARKS.get(assignment.name)
        files = {"prompts": assignment.prompts, "pairs": assignment.pairs}
        functions = {scorer["function"] for scorer in assignment.all_scorers}
        packages = {package for function in functions for package in load(function).needs}
        return {
            "model": [note["sha256"], bool(note.get("trust_remote_code"))],
            "adapter": sorted(map(_adapter_digest, map(Path, subject.adapter))),
            "template": dict(subject.template),
            "generation": [subject.backend, subject.weights],
            "benchmark": assignment.name,
            "options": {**assignment.options},
            "format": assignment.format,
            "language": assignment.language,
            "scorer": assignment.scorer,
            # By name: the order of a study's metrics decides nothing.
            "scorers": {name: dict(scorer) for name, scorer in assignment.scorers.items()},
            "scorer_files": [
                [scorer["function"], files_named(scorer["options"])]
                for scorer in sorted(assignment.all_scorers, key=fingerprint)
            ],
            "seed": seed,
            "data": {name: read_json(notes[name])["sha256"] for name in assignment.data},
            "inputs": {key: file and sha256(file) for key, file in files.items()},
            "code": digests(self.code[assignment.name]),
            "versions": versions([*benchmark.packages, *packages]),
            "machine": computed_in(subject.dtype),
        }

    def fetch(
        self,
        identity: Record | None,
        subject: Subject,
        assignment: Assignment,
        outputs: Sequence[str | Path],
    ) -> bool:
        """Write a known profile and what belongs to it under this model's name.

        Args:
            identity: See `identity`.
            subject: The model.
            assignment: The benchmark.
            outputs: Files for the profile, for the records, and for further files of the
                benchmark.

        Returns:
            False if it is not known; nothing is written then.
        """
        found = self.store.find(identity) if identity else None
        if not found:
            return False
        inputs = {file: sha256(file) for file in assignment.inputs}
        for name, output in zip(_names(assignment.name)[1:], outputs[1:], strict=True):
            copy_file(found[name], output)
        profile = Profile.read(found[_PROFILE])
        replace(profile, model=subject.name, inputs=inputs).write(outputs[0])
        return True

    def keep(
        self, identity: Record | None, assignment: Assignment, outputs: Sequence[str | Path]
    ) -> None:
        """Keep a profile that was just written; see `fetch`."""
        if identity:
            files = dict(zip(_names(assignment.name), map(Path, outputs), strict=True))
            self.store.add(identity, files)


#: Nothing is known, and nothing is kept.
UNKNOWN = Known(ResultStore(), {})


def _names(benchmark: str) -> tuple[str, ...]:
    """Names in the store of the files that a benchmark writes."""
    return (_PROFILE, _RECORDS, *BENCHMARKS.get(benchmark).files)


def _adapter_digest(file: Path) -> str:
    """Checksum of a file of an adapter; the folder of the base in its configuration is left out."""
    if file.suffix != ".json":
        return sha256(file)
    settings = {**read_json(file), "base_model_name_or_path": None}
    return fingerprint(settings)
