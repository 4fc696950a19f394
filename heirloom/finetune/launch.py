"""Finetune a base on a training set, in this process or in several."""

import logging
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from heirloom.finetune import packing
from heirloom.finetune import trainer as training
from heirloom.finetune.examples import encode_example
from heirloom.finetune.methods import fused_lora as lora
from heirloom.finetune.packing import IGNORED
from heirloom.finetune.trainer import JOB, RESULT, Recipe, train
from heirloom.generate.model import load_tokenizer
from heirloom.generate.templates import PromptTemplate
from heirloom.prompts.settings import Format
from heirloom.support.errors import HeirloomError
from heirloom.support.files import Record, read_json, sha256, write_json
from heirloom.support.processes import bound_process
from heirloom.support.work_folder import claimed

logger = logging.getLogger(__name__)


def finetune(
    base: str | Path,
    examples: Sequence[Record],
    *,
    prompt_template: PromptTemplate,
    format: Format,
    recipe: Recipe,
    work: Path,
    output: Path,
    processes: int = 1,
    launch: Path | None = None,
    trust_remote_code: bool = False,
) -> Record:
    """Train an adapter, going on from the last checkpoint in `work` if a run was killed.

    Args:
        base: Folder of the base model.
        examples: Rows of a training set: prompt, completion, finish_reason.
        prompt_template: How the base is shown an instruction.
        format: How the prompts are written.
        recipe: Hyperparameters.
        work: Folder for checkpoints. One that belongs to another recipe, training set or number of
            processes is emptied.
        output: Folder for the adapter (PEFT format).
        processes: How many share the work, each with a GPU of its own where there are GPUs.
        launch: A configuration file of `accelerate launch`, to share it in another way than DDP,
            such as FSDP.
        trust_remote_code: Whether Python code in `base` may run.

    Returns:
        The manifest: recipe, counts of examples and tokens, and the loss of every logged step.

    Raises:
        HeirloomError: no example fits `max_length`, the loss stopped being a number, or the machine
            cannot do what the recipe asks for.
    """
    if recipe.batch_size % processes:
        raise HeirloomError(
            f"finetuning.batch_size, {recipe.batch_size}, cannot be shared by {processes} "
            "processes: make it a multiple of that, or ask for fewer GPUs in the profile."
        )
    tokenizer = load_tokenizer(base, trust_remote_code=trust_remote_code)
    encoded = [encode_example(tokenizer, prompt_template, e, format) for e in examples]
    rows = [row for row in encoded if len(row["input_ids"]) <= recipe.max_length]
    if len(rows) < len(encoded):
        logger.warning(
            "%d of %d examples are longer than %d tokens and left out (finetuning.max_length)",
            *(len(encoded) - len(rows), len(encoded), recipe.max_length),
        )
    if not rows:
        raise HeirloomError(
            f"no training example is left to finetune {base} on: {len(encoded)} are longer than "
            f"finetuning.max_length, {recipe.max_length} tokens. Raise it, or lower max_new_tokens."
        )

    job = {
        "recipe": asdict(recipe),
        "rows": rows,
        "base": str(base),
        "trust_remote_code": trust_remote_code,
    }
    code = [sha256(str(module.__file__)) for module in (training, packing, lora)]
    hardware = [processes, launch and launch.read_text()]
    with claimed(work, {"code": code, "hardware": hardware, **job}):
        if processes == 1 and launch is None:
            result = train(base, rows, recipe, work, output, trust_remote_code=trust_remote_code)
        else:
            write_json(work / JOB, job)
            result = _train_in_processes(processes, launch, work, output)
    return {
        "recipe": asdict(recipe),
        "n_examples": len(rows),
        "n_too_long": len(encoded) - len(rows),
        "n_tokens": sum(len(row["input_ids"]) for row in rows),
        "n_loss_tokens": sum(label != IGNORED for row in rows for label in row["labels"]),
        **result,
    }


def _train_in_processes(processes: int, launch: Path | None, work: Path, output: Path) -> Record:
    """Let `accelerate launch` run `heirloom.finetune.trainer` on the job in `work`."""
    (work / RESULT).unlink(missing_ok=True)
    options = ["--num_processes", str(processes), "--main_process_port", "0"]  # 0: a free one
    options += ["--num_machines", "1", "--mixed_precision", "no", "--dynamo_backend", "no"]
    # Without GPUs too: it stands for DDP.
    options += ["--config_file", str(launch)] if launch else ["--multi_gpu"]
    command = [sys.executable, "-m", "accelerate.commands.launch", *options]
    command += ["-m", "heirloom.finetune.trainer", str(work.absolute()), str(output.absolute())]
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
    if not (work / RESULT).exists():
        raise HeirloomError(
            f"finetuning in {processes} processes failed with status {child.returncode}: what they "
            "said is in this job's log. Run the same command again to go on from the last "
            "checkpoint."
        )
    result: Record = read_json(work / RESULT)
    if "error" in result:
        raise HeirloomError(result["error"])
    return result


_HOME = Path(__file__).resolve().parents[2]  # where the package `heirloom` is
