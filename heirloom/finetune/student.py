"""One student of a study: from its training set to its manifest, trained unless it ever was before.

What trains is imported when something has to be trained.
"""

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from heirloom.fetch.notes import locate
from heirloom.finetune.methods import METHODS
from heirloom.finetune.settings import Run
from heirloom.prompts.settings import Format
from heirloom.support.files import (
    Record,
    copy_file,
    read_json,
    read_jsonl,
    sha256,
    write_json,
    write_text,
)
from heirloom.support.machine import computed_in
from heirloom.support.result_store import ResultStore, digests, versions

_MANIFEST, _ADAPTER = "manifest.json", "adapter_config.json"


@dataclass(frozen=True)
class Student:
    """A student to train.

    Attributes:
        manifest: The file to write last, in the student's folder, which has the student's name.
        note: The fetch stage's note on its base.
        template: Fields of the base's prompt template.
        training_set: `train.jsonl`.
        format: Format of the prompts.
        run: Hyperparameters, seed and training method.
        code: Files that define the training.
    """

    manifest: Path
    note: Path
    template: Record
    training_set: Path
    format: Format
    run: Run
    code: Sequence[str | Path]

    def identity(self) -> Record:
        """Everything that determines the weights, as JSON; processes only round differently."""
        note = read_json(self.note)
        return {
            "base": [note["sha256"], bool(note.get("trust_remote_code"))],
            "template": self.template,
            "train": sha256(self.training_set),
            "format": self.format,
            "run": self.run.record(),
            "code": digests(self.code),
            "versions": versions(),
            "machine": computed_in(self.run.dtype),
        }


def finetune_student(
    student: Student,
    *,
    work: Path,
    store: ResultStore,
    processes: int = 1,
    launch: Path | None = None,
) -> bool:
    """Train a student on a file, unless its weights are in the store, and write its manifest last.

    Args:
        student: The student.
        work: Folder for checkpoints, removed in the end.
        store: Students that were trained before.
        processes: As in `heirloom.finetune.launch.Hardware`, and so is `launch`.
        launch: Configuration of `accelerate launch`.

    Returns:
        True if it was trained before.

    Raises:
        HeirloomError: See `heirloom.finetune.launch.finetune`.
    """
    identity, folder = student.identity(), student.manifest.parent
    found = store.find(identity)
    if found:
        for name in sorted(found.keys() - {_MANIFEST}):
            copy_file(found[name], folder / name)
        _name_base(folder / _ADAPTER, str(locate(student.note)))
        write_json(student.manifest, {**read_json(found[_MANIFEST]), "student": folder.name})
    else:
        _train(student, work, processes, launch)
        names = [*METHODS.get(student.run.method).files, _MANIFEST]
        store.add(identity, {name: folder / name for name in names})
    shutil.rmtree(work, ignore_errors=True)
    return found is not None


def _train(student: Student, work: Path, processes: int, launch: Path | None) -> None:
    """Train it and write its manifest."""
    from heirloom.finetune.launch import Base, Folders, Hardware, finetune

    base = Base.read(student.note, student.template)
    folders = Folders(work, student.manifest.parent)
    examples = read_jsonl(student.training_set)
    hardware = Hardware(processes, launch)
    found = finetune(base, examples, student.format, student.run, folders, hardware)
    inputs = {"base": base.sha256, "train": sha256(student.training_set)}
    write_json(student.manifest, {"student": folders.output.name, **found, "inputs": inputs})


def _name_base(file: Path, folder: str) -> None:
    """Let an adapter's configuration name the folder of the base here, in PEFT's own layout."""
    settings = read_json(file) if file.exists() else {}
    if settings.get("base_model_name_or_path", folder) != folder:
        settings["base_model_name_or_path"] = folder
        write_text(file, json.dumps(settings, indent=2, sort_keys=True))
