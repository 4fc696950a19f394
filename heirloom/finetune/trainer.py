"""Train a student on encoded examples: in this process, or as one of several that share a run."""

import importlib.util
import logging
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from transformers import (
    AutoModelForCausalLM,
    BitsAndBytesConfig,
    Trainer,
    TrainerCallback,
    TrainingArguments,
)
from transformers import set_seed as seed_everything
from transformers.trainer_callback import PrinterCallback
from transformers.trainer_pt_utils import get_length_grouped_indices

from heirloom.fetch.weights import require_weights
from heirloom.finetune.adapted import adapted_weights
from heirloom.finetune.loss import completion_loss
from heirloom.finetune.methods import METHODS
from heirloom.finetune.packing import IGNORED, Row, pack, single, use_packing
from heirloom.finetune.settings import Run
from heirloom.generate.model import best_device, resolve_dtype
from heirloom.generate.products import speed_up_products
from heirloom.generate.request import sequence_key
from heirloom.generate.shortcuts import accepted, require_causal
from heirloom.support.errors import HeirloomError
from heirloom.support.files import Record, read_json
from heirloom.support.log import Progress
from heirloom.support.tracking import track_training

logger = logging.getLogger(__name__)

_UNPACKED = "trained on one example at a time: others in the same row change its predictions"


@dataclass(frozen=True)
class Job:
    """Everything that decides the weights of a student.

    Attributes:
        base: Folder of the base model.
        rows: The encoded examples, at least one.
        run: Hyperparameters, seed and training method.
        trust_remote_code: Python code in `base` may run.
    """

    base: str
    rows: Sequence[Row]
    run: Run
    trust_remote_code: bool = False

    def record(self) -> Record:
        """The job as JSON."""
        return {**vars(self), "run": self.run.record()}

    @classmethod
    def read(cls, record: Record) -> "Job":
        """Make a job from its `record`."""
        return cls(**{**record, "run": Run.read(record["run"])})


def train(job: Job, work: Path, output: Path) -> Record:
    """Train a student, resuming from the last checkpoint in `work` if there is one.

    Args:
        job: The job.
        work: Folder for checkpoints.
        output: Folder for the student.

    Returns:
        The number of steps, the loss of each, and the weights that were trained.

    Raises:
        HeirloomError: The loss stopped being a number, or the machine cannot do what the job asks
            for.
    """
    trainer = make_trainer(job, work)
    track_training(trainer, output.name)
    adapted = adapted_weights(trainer.model)
    if adapted["unreached"]:
        logger.warning("not reached by training: %s", ", ".join(adapted["unreached"]))
    checkpoint = _last_checkpoint(work)
    if checkpoint:
        logger.info("resuming from %s", checkpoint.name)
    trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    if not all(loss == loss for loss in losses):
        raise HeirloomError(
            f"the loss is not a number after {trainer.state.global_step} steps. Lower "
            "finetune.learning_rate or set dtype: float32."
        )
    trainer.save_model(str(output))
    if trainer.args.should_save:
        # PEFT's own card for a hub repository is wrong about how this adapter came to be.
        for name in ("README.md", "training_args.bin"):
            (output / name).unlink(missing_ok=True)
        method = METHODS.get(job.run.method)
        for name in method.files:
            if not (output / name).exists():
                raise HeirloomError(f"the training method {method.name!r} has not written {name}.")
    notes = {} if trainer.data_collator.packs else {"notes": [_UNPACKED]}
    return {"n_steps": trainer.state.global_step, "losses": losses, "adapted": adapted, **notes}


def make_trainer(job: Job, work: Path) -> Trainer:
    """Return the trainer of a fresh student, as `train` uses it.

    Raises:
        HeirloomError: The machine cannot do what the job asks for.
    """
    settings, seed = job.run.settings, job.run.seed
    processes = int(os.environ.get("WORLD_SIZE", "1"))  # set by `accelerate launch`
    device = best_device()
    model = _load_base(job, device)
    require_causal(model, job.base)
    packs = use_packing(model, max(len(row["input_ids"]) for row in job.rows))
    if not packs:
        logger.info("%s cannot be packed: one example at a time", type(model).__name__)
    optional = {"use_cache", "logits_to_keep"}
    unknown = optional - accepted(model, **dict.fromkeys(optional)).keys()
    per_process = settings.batch_size // processes
    at_once = _largest_divisor(per_process, settings.micro_batch_size if packs else 1)
    # Before the student is made: its initial weights are drawn here, not when training starts.
    seed_everything(seed)
    student = _prepare(job, model)
    order = _LengthGrouped(
        [len(row["input_ids"]) for row in job.rows],
        batch_size=settings.batch_size,
        seed=seed,
        whole_batches=processes > 1,
    )
    trainer = CompletionTrainer(
        model=student,
        args=_arguments(job.run, work, device, per_process=per_process, at_once=at_once),
        train_dataset=[*job.rows, _FILLER],
        data_collator=_Collator(packs, frozenset(unknown)),
        compute_loss_func=completion_loss,
        callbacks=[_TellEpoch(order), _ReportSteps()],
        order=order,
    )
    trainer.remove_callback(PrinterCallback)
    return trainer


def _prepare(job: Job, model: Any) -> Any:
    """Return the student, or the one message that a base gets which a method does not fit."""
    method = METHODS.get(job.run.method)
    try:
        return method.prepare(model, job.run.settings)
    except Exception as error:  # PEFT, torch and transformers each raise their own
        words = " ".join(str(error).split())[:300]
        raise HeirloomError(
            f"the training method {method.name!r} does not fit the base {job.base} "
            f"({type(model).__name__}): {type(error).__name__}: {words}. Choose another base, or "
            "another method in finetune.methods."
        ) from error


@dataclass(frozen=True)
class _Collator:
    """Makes a batch of examples, packed or single, without arguments that a model does not name."""

    packs: bool
    unknown: frozenset[str]

    def __call__(self, rows: Sequence[Row]) -> dict[str, Any]:
        batch = pack(rows) if self.packs else single(rows)
        return {name: value for name, value in batch.items() if name not in self.unknown}


def _arguments(
    run: Run, work: Path, device: torch.device, *, per_process: int, at_once: int
) -> TrainingArguments:
    """Arguments of the Trainer.

    No mixed precision: frozen weights compute in the number format that they are loaded in, as in
    generation and scoring, and the adapter's layers take care of themselves.

    Args:
        run: Hyperparameters and seed.
        work: Folder for checkpoints.
        device: Where to train.
        per_process: Examples per step and process.
        at_once: Of those, examples that are computed at once; divides them.
    """
    settings = run.settings
    arguments = TrainingArguments(
        output_dir=str(work),
        seed=run.seed,
        num_train_epochs=settings.epochs,
        learning_rate=settings.learning_rate,
        lr_scheduler_type="linear",
        per_device_train_batch_size=at_once,
        gradient_accumulation_steps=per_process // at_once,
        activation_checkpointing=settings.gradient_checkpointing,
        activation_checkpointing_kwargs={"use_reentrant": False},
        use_cpu=device.type == "cpu",
        dataloader_pin_memory=device.type == "cuda",
        logging_steps=1,
        logging_nan_inf_filter=False,  # it would log a number where the loss is none
        save_strategy="steps",
        save_steps=settings.checkpoint_steps,
        save_total_limit=2,
        report_to=[],
        disable_tqdm=True,
        remove_unused_columns=False,
        log_level="error",
    )
    # One process has one GPU. Where it sees more, the Trainer would spread every batch over them.
    arguments._n_gpu = min(arguments.n_gpu, 1)
    return arguments


def _load_base(job: Job, device: torch.device) -> Any:
    dtype = resolve_dtype(job.run.dtype, device)
    options: dict[str, Any] = {}
    if job.run.settings.quantization == "4bit":
        if device.type != "cuda":
            raise HeirloomError(
                "finetune.quantization: 4bit needs an NVIDIA GPU, and there is none. Set it to "
                "none, or run on a machine that has one."
            )
        if not importlib.util.find_spec("bitsandbytes"):
            raise HeirloomError(
                "finetune.quantization: 4bit needs bitsandbytes, which is not installed: "
                "pip install bitsandbytes."
            )
        options = {
            "quantization_config": BitsAndBytesConfig(
                load_in_4bit=True,
                bnb_4bit_quant_type="nf4",
                bnb_4bit_use_double_quant=True,
                bnb_4bit_compute_dtype=dtype,
            ),
            "device_map": {"": int(os.environ.get("LOCAL_RANK", "0"))},
        }
    try:
        model, report = AutoModelForCausalLM.from_pretrained(
            job.base,
            dtype=dtype,
            use_safetensors=True,
            trust_remote_code=job.trust_remote_code,
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # in the report, instead of an exception without names
            **options,
        )
    except (OSError, SafetensorError) as error:
        raise HeirloomError(
            f"the base in {job.base} could not be loaded: {error}. If a file is damaged, put it "
            "right and run the same command again."
        ) from error
    require_weights(report, job.base)
    speed_up_products(model, device)
    return model


def _largest_divisor(number: int, limit: int) -> int:
    return max(n for n in range(1, min(number, limit) + 1) if number % n == 0)


class CompletionTrainer(Trainer):  # type: ignore[misc]
    """A Trainer that takes the examples in the `order` it is given."""

    def __init__(self, *, order: torch.utils.data.Sampler[int], **options: Any) -> None:
        super().__init__(**options)
        self.order = order

    def _get_train_sampler(self, train_dataset: Any = None) -> torch.utils.data.Sampler[int]:
        return self.order


# Stands in for the examples that the last step of an epoch lacks: a token without loss.
_FILLER: Row = {"input_ids": [0], "labels": [IGNORED]}


class _LengthGrouped(torch.utils.data.Sampler[int]):
    """Examples of similar length together, in an order that seed and epoch alone decide.

    The Trainer's own sampler draws the order from torch's global generator. An epoch that is
    resumed after a kill would be shuffled anew: some examples seen twice in it, others not at all.

    Args:
        lengths: Number of tokens per example.
        batch_size: Examples per step. How many of them are computed at once, and where, does not
            change the order.
        seed: Seed of the run.
        whole_batches: Fill the last step up with the index after the last example's, so that all
            processes have as many micro-batches. Else accelerate would repeat examples.
    """

    def __init__(
        self, lengths: list[int], *, batch_size: int, seed: int, whole_batches: bool
    ) -> None:
        self.lengths, self.batch_size, self.seed = lengths, batch_size, seed
        self.fillers = -len(lengths) % batch_size if whole_batches else 0
        self.epoch = 0

    def __len__(self) -> int:
        return len(self.lengths) + self.fillers

    def __iter__(self) -> Iterator[int]:
        generator = torch.Generator().manual_seed(sequence_key(self.seed, "order", self.epoch))
        yield from get_length_grouped_indices(self.lengths, self.batch_size, generator=generator)
        yield from [len(self.lengths)] * self.fillers


class _TellEpoch(TrainerCallback):  # type: ignore[misc]
    """Tells the order which epoch begins or is resumed.

    accelerate would, by `set_epoch`, but does not find it where several processes resume.
    """

    def __init__(self, order: _LengthGrouped) -> None:
        self.order = order

    def on_epoch_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.order.epoch = int(state.epoch)


class _ReportSteps(TrainerCallback):  # type: ignore[misc]
    """Progress lines instead of the Trainer's bar."""

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.progress = Progress(state.max_steps - state.global_step, "steps")

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.progress.update(1)


def _last_checkpoint(work: Path) -> Path | None:
    """The newest checkpoint that is complete: the Trainer writes its state last."""

    def is_complete(checkpoint: Path) -> bool:
        try:
            read_json(checkpoint / "trainer_state.json")
        except HeirloomError:  # missing, or truncated
            return False
        return True

    complete = [path for path in work.glob("checkpoint-*") if is_complete(path)]
    return max(complete, key=lambda p: int(p.name.removeprefix("checkpoint-")), default=None)
