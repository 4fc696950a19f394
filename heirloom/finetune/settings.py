"""Section of the study file about finetuning, and the run of one student."""

from dataclasses import dataclass
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from heirloom.finetune.methods import METHODS
from heirloom.support.files import Record
from heirloom.support.registry import name_in
from heirloom.support.settings import Section, distinct

_Method = name_in(METHODS)


class Finetune(Section):
    """Training of a student on its training set, with loss on the completion's tokens."""

    seeds: list[int] = Field([1], min_length=1, description="One student per seed.")
    methods: Annotated[list[_Method], AfterValidator(distinct)] = Field(  # type: ignore[valid-type]
        ["lora"], min_length=1, description="Training methods: one student per method."
    )
    epochs: float = Field(2, gt=0, description="Passes over the training set.")
    learning_rate: float = Field(1e-3, gt=0, description="Peak; decays linearly to zero.")
    batch_size: int = Field(4, ge=1, description="Examples per step, of all processes together.")
    micro_batch_size: int = Field(
        2,
        ge=1,
        description="Of those, examples that a process computes at once: fewer need less memory. "
        "Divides it.",
    )
    lora_rank: int = Field(16, ge=1, description="Rank of the adapter (assumed).")
    lora_alpha: int = Field(
        32, ge=1, description="The adapter is scaled by this divided by its rank (assumed)."
    )
    max_length: int = Field(
        512,
        ge=16,
        description="Longer examples, in tokens, are left out and counted: truncated, they would "
        "lack their end.",
    )
    checkpoint_steps: int = Field(
        10, ge=1, description="Steps between checkpoints; a killed job loses at most these."
    )
    gradient_checkpointing: bool = Field(
        False,
        description="Recompute activations in the backward pass: less memory for a third more "
        "time. Numbers change by rounding alone.",
    )
    quantization: Literal["none", "4bit"] = Field(
        "none",
        description="`4bit`: load the base in 4 bits for training (QLoRA; Dettmers et al., 2023, "
        "arXiv 2305.14314). Needs an NVIDIA GPU and bitsandbytes.",
    )

    @model_validator(mode="after")
    def _whole_micro_batches(self) -> Self:
        if self.batch_size % min(self.micro_batch_size, self.batch_size):
            raise ValueError(
                f"batch_size {self.batch_size} is no multiple of micro_batch_size "
                f"{self.micro_batch_size}"
            )
        return self


@dataclass(frozen=True)
class Run:
    """The training of one student.

    Attributes:
        settings: The section `finetune`.
        seed: Decides the adapter's initial weights and the order of the examples.
        dtype: Number format of the base: "auto", "bfloat16" or "float32". The adapter itself is
            always float32.
        method: Name of the training method.
    """

    settings: Finetune
    seed: int
    dtype: str = "auto"
    method: str = "lora"

    @property
    def recipe(self) -> Record:
        """The hyperparameters, as the manifest holds them."""
        settings = self.settings.model_dump(exclude={"seeds", "methods"})
        return {"seed": self.seed, **settings, "dtype": self.dtype}

    def record(self) -> Record:
        """The run as JSON."""
        return {"method": self.method, "recipe": self.recipe}

    @classmethod
    def read(cls, record: Record) -> "Run":
        """Make a run from its `record`, whose settings were validated with the study file."""
        settings = dict(record["recipe"])
        seed, dtype = settings.pop("seed"), settings.pop("dtype")
        return cls(Finetune.model_construct(**settings), seed, dtype, record["method"])
