"""Students as whole models: merged safetensors, and GGUF by llama.cpp's converter.

Both are loaded again where they are written, and their greedy completions compared with those of
the student as the study profiles it: its adapter on its base.
"""

import logging
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from heirloom.fetch.notes import locate, trusts_code
from heirloom.prompts.settings import Format
from heirloom.support.errors import HeirloomError
from heirloom.support.files import Record, read_jsonl, sha256, write_json
from heirloom.support.llama_cpp import gguf_converter, write_gguf

logger = logging.getLogger(__name__)

_COMPARED = 20
_MAX_NEW_TOKENS = 32


@dataclass(frozen=True)
class Student:
    """A student to export.

    Attributes:
        name: Its name in the study.
        note: The fetch stage's note on its base.
        template: Fields of the base's prompt template.
        adapter: Its folder.
        prompts: Prompts to compare completions on, of the format `format`.
        format: See `prompts`.
    """

    name: str
    note: Path
    template: Record
    adapter: Path
    prompts: Path
    format: Format


def export_student(
    student: Student, manifest: Path, *, merged: Path | None, gguf: Path | None, outtype: str | None
) -> None:
    """Write a student as a whole model, load it again, and write the manifest last.

    Args:
        student: The student.
        manifest: File for versions, checksums, and how many of the greedy completions are those of
            the adapter on its base.
        merged: Folder for safetensors in the number format that the base is stored in; None: none.
        gguf: File for GGUF; None: none.
        outtype: Number format of the GGUF, as the converter calls it.

    Raises:
        HeirloomError: The base cannot be merged or converted, or there is no converter.
    """
    from heirloom.generate.merge import save_merged

    command = gguf_converter() if gguf else []
    base = locate(student.note)
    if trusts_code(student.note):
        raise HeirloomError(
            f"export: the base of {student.name} runs code of its own (trust_remote_code), which "
            "an exported model would lack: leave this student out of export.students."
        )
    with tempfile.TemporaryDirectory(dir=manifest.parent) as scratch:
        whole = Path(scratch, "merged")
        save_merged(base, student.adapter, whole)
        if gguf:
            write_gguf(command, whole, gguf, str(outtype))
        compared = _Comparison(student, base, Path(scratch)).of(whole, gguf)
        if merged:
            merged.mkdir(exist_ok=True)
            for file in whole.iterdir():
                file.replace(merged / file.name)
    weights = sorted(merged.glob("*.safetensors")) if merged else []
    files = [*weights, *([gguf] if gguf else [])]
    found = {
        "student": student.name,
        "files": {str(f.relative_to(manifest.parent)): sha256(f) for f in files},
        "gguf": outtype if gguf else None,
        "compared": compared,
        "versions": {package: version(package) for package in ("peft", "transformers", "gguf")},
    }
    write_json(manifest, found)


@dataclass(frozen=True)
class _Comparison:
    """Greedy completions of the exported models against those of adapter and base."""

    student: Student
    base: Path
    scratch: Path

    def of(self, merged: Path, gguf: Path | None) -> Record:
        """Return the number of prompts, and of equal completions for each form.

        A GGUF file of an architecture that transformers does not read is not compared: null.
        """
        from transformers import AutoConfig

        from heirloom.fetch.gguf import prepare_model

        dtype = str(AutoConfig.from_pretrained(merged).dtype).removeprefix("torch.")
        expected = self._completions(self.base, dtype, adapter=self.student.adapter)
        found: Record = {"prompts": len(expected), "dtype": dtype}
        found["merged"] = self._equal(expected, self._completions(merged, dtype))
        if gguf:
            try:
                cache = self.scratch / "cache"
                folder = prepare_model(gguf, name="gguf", cache=cache, dtype="float32")
                found["gguf"] = self._equal(expected, self._completions(folder, dtype))
            except HeirloomError as error:
                logger.warning("%s: not loaded again: %s", gguf, error)
                found["gguf"] = None
        logger.info("%s: greedy completions that are the adapter's: %s", self.student.name, found)
        return found

    @staticmethod
    def _equal(expected: Sequence[str], found: Sequence[str]) -> int:
        return sum(a == b for a, b in zip(expected, found, strict=True))

    def _completions(self, folder: Path, dtype: str, adapter: Path | None = None) -> list[str]:
        from heirloom.generate.completions import generate
        from heirloom.generate.model import Engine, load_model
        from heirloom.generate.request import Prompt, Request, Sampling
        from heirloom.generate.templates import PromptTemplate

        model = load_model(
            folder,
            name=self.student.name,
            prompt_template=PromptTemplate(**self.student.template),
            adapter=adapter,
            dtype=dtype,
            engine=Engine("transformers"),
        )
        rows = read_jsonl(self.student.prompts)[:_COMPARED]
        prompts = [Prompt(row["id"], row["text"]) for row in rows]
        request = Request(
            samples=1,
            max_new_tokens=_MAX_NEW_TOKENS,
            sampling=Sampling(temperature=0.0),
            seed=0,
            format=self.student.format,
        )
        with tempfile.TemporaryDirectory(dir=self.scratch) as work:
            made = generate(model, prompts, request, work=Path(work))
        return [record["completion"] or "" for record in made]
