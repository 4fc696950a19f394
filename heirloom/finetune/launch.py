"""Finetune a base on a training set, in this process or in several.

`python -m heirloom.finetune.launch WORK OUTPUT`, started by `accelerate launch`, is one of several.
"""

import logging
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from heirloom.fetch.notes import locate, trusts_code
from heirloom.finetune import loss, packing, trainer
from heirloom.finetune.examples import encode_example
from heirloom.finetune.methods import METHODS
from heirloom.finetune.packing import IGNORED, Row
from heirloom.finetune.settings import Run
from heirloom.finetune.trainer import Job, train
from heirloom.generate import products
from heirloom.generate.model import load_tokenizer
from heirloom.generate.templates import PromptTemplate, closing_of
from heirloom.prompts.settings import Format
from heirloom.support.errors import HeirloomError
from heirloom.support.files import Record, read_json, sha256, write_json
from heirloom.support.processes import bound_process, end_with_parent
from heirloom.support.work_folder import claimed

logger = logging.getLogger(__name__)

_JOB, _RESULT = "job.json", "result.json"  # in the work folder of several processes
_HOME = Path(__file__).resolve().parents[2]  # folder of the package `heirloom`


@dataclass(frozen=True)
class Base:
    """A model to finetune.

    Attributes:
        folder: Its folder.
        prompt_template: Form in which it is shown an instruction.
        trust_remote_code: Python code in the folder may run.
        sha256: Checksum of its files, for the manifest.
    """

    folder: Path
    prompt_template: PromptTemplate = field(default_factory=PromptTemplate)
    trust_remote_code: bool = False
    sha256: str = ""

    @classmethod
    def read(cls, note: Path, template: Record) -> "Base":
        """Find the model of a note; `template` holds the fields of its `PromptTemplate`."""
        checksum = read_json(note)["sha256"]
        return cls(locate(note), PromptTemplate(**template), trusts_code(note), checksum)


@dataclass(frozen=True)
class Hardware:
    """Machine-dependent settings of a run, which change numbers only by rounding.

    Attributes:
        processes: Number of processes that share the work, each with a GPU of its own where there
            are GPUs.
        launch: A configuration file of `accelerate launch`, for another way to share it than DDP,
            such as FSDP.
    """

    processes: int = 1
    launch: Path | None = None


ALONE = Hardware()


@dataclass(frozen=True)
class Folders:
    """Folders that a run writes to.

    Attributes:
        work: Checkpoints. A folder that belongs to another run, training set or number of processes
            is emptied.
        output: The student.
    """

    work: Path
    output: Path


def finetune(
    base: Base,
    examples: Sequence[Record],
    format: Format,
    run: Run,
    folders: Folders,
    hardware: Hardware = ALONE,
) -> Record:
    """Train a student, resuming from the last checkpoint if a run was killed.

    Args:
        base: The base model.
        examples: Rows of a training set: prompt, completion, finish_reason.
        format: Format of the prompts.
        run: Hyperparameters, seed and training method.
        folders: Where to write.
        hardware: Processes that share the work.

    Returns:
        The manifest: recipe, counts of examples and tokens, and the loss of every step.

    Raises:
        HeirloomError: No example fits `max_length`, the loss stopped being a number, or the machine
            cannot do what the run asks for.
    """
    settings = run.settings
    if settings.batch_size % hardware.processes:
        raise HeirloomError(
            f"finetune.batch_size, {settings.batch_size}, cannot be shared by {hardware.processes} "
            "processes: make it a multiple of that, or ask for fewer GPUs in the profile."
        )
    tokenizer = load_tokenizer(base.folder, trust_remote_code=base.trust_remote_code)
    if examples and closing_of(tokenizer, base.prompt_template, examples[0]["prompt"], format):
        logger.warning(
            "the template of %s opens a block of reasoning, which is closed before each "
            "answer that is trained",
            base.folder,
        )
    encoded = [encode_example(tokenizer, base.prompt_template, e, format) for e in examples]
    rows = _fitting(encoded, settings.max_length, base)
    job = Job(str(base.folder), rows, run, base.trust_remote_code)
    sources = [Path(str(module.__file__)) for module in (trainer, packing, products, loss)]
    identity = {
        "code": [sha256(path) for path in (*sources, METHODS.source(run.method))],
        "hardware": [hardware.processes, hardware.launch and hardware.launch.read_text()],
        **job.record(),
    }
    with claimed(folders.work, identity):
        if hardware == ALONE:
            result = train(job, folders.work, folders.output)
        else:
            result = _train_in_processes(job, folders, hardware)
    return {
        "recipe": run.recipe,
        "n_examples": len(rows),
        "n_too_long": len(encoded) - len(rows),
        "n_tokens": sum(len(row["input_ids"]) for row in rows),
        "n_loss_tokens": sum(label != IGNORED for row in rows for label in row["labels"]),
        **result,
    }


def _fitting(encoded: Sequence[Row], longest: int, base: Base) -> list[Row]:
    """The examples of at most `longest` tokens."""
    rows = [row for row in encoded if len(row["input_ids"]) <= longest]
    if len(rows) < len(encoded):
        logger.warning(
            "%d of %d examples are longer than %d tokens and left out (finetune.max_length)",
            *(len(encoded) - len(rows), len(encoded), longest),
        )
    if not rows:
        raise HeirloomError(
            f"no training example is left to finetune {base.folder} on: {len(encoded)} are longer "
            f"than finetune.max_length, {longest} tokens. Raise it, or lower max_new_tokens."
        )
    return rows


def _train_in_processes(job: Job, folders: Folders, hardware: Hardware) -> Record:
    """Let `accelerate launch` run this module on the job, left in the work folder."""
    work = folders.work
    write_json(work / _JOB, job.record())
    (work / _RESULT).unlink(missing_ok=True)
    options = ["--num_processes", str(hardware.processes)]
    options += ["--main_process_port", "0"]  # 0: a free one
    options += ["--num_machines", "1", "--mixed_precision", "no", "--dynamo_backend", "no"]
    # Without GPUs too: --multi_gpu stands for DDP.
    options += ["--config_file", str(hardware.launch)] if hardware.launch else ["--multi_gpu"]
    command = [sys.executable, "-m", "accelerate.commands.launch", *options]
    command += ["-m", "heirloom.finetune.launch"]
    command += [str(work.absolute()), str(folders.output.absolute())]
    path = os.pathsep.join(filter(None, [str(_HOME), os.environ.get("PYTHONPATH")]))
    with bound_process(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "PYTHONPATH": path},
    ) as child:
        assert child.stdout is not None
        for line in child.stdout:
            logger.info("%s", line.rstrip())
        child.wait()
    if not (work / _RESULT).exists():
        raise HeirloomError(
            f"finetuning in {hardware.processes} processes failed with status {child.returncode}: "
            "their output is in this job's log. Run the same command again to resume from the last "
            "checkpoint."
        )
    result: Record = read_json(work / _RESULT)
    if "error" in result:
        raise HeirloomError(result["error"])
    return result


def _main(work: Path, output: Path) -> int:
    """Do the job in `work` as one of several processes, leave its result, return the status."""
    end_with_parent()
    first = os.environ.get("RANK", "0") == "0"
    logging.basicConfig(level=logging.INFO if first else logging.ERROR, format="%(message)s")
    try:
        result = train(Job.read(read_json(work / _JOB)), work, output)
    except HeirloomError as error:
        result = {"error": str(error)}
    if first:
        write_json(work / _RESULT, result)
    return int("error" in result)


if __name__ == "__main__":
    sys.exit(_main(Path(sys.argv[1]), Path(sys.argv[2])))
