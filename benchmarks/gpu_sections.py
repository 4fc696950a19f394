"""Sections of `make gpu-check`: each measures one thing, in a process of its own."""

import importlib.util
import math
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.peak import own_peak
from heirloom.finetune.packing import IGNORED, Row
from heirloom.generate.request import Prompt, Request, Sampling
from heirloom.generate.templates import PromptTemplate
from heirloom.profiling.engines.likelihood import encode_option, score
from heirloom.support.files import Record

_WORDS = ("river", "stone", "mill", "quiet", "town", "where", "people", "bake", "bread")


class UnavailableError(Exception):
    """The section needs something that is not there."""


@dataclass(frozen=True)
class Shape:
    """A model's shape, and how much is measured with it.

    Attributes:
        config: Arguments of `LlamaConfig`.
        product: Rows and columns of the matrices whose product is timed.
        prompts: Prompts to complete, of `prompt_tokens` tokens, `samples` times.
        new_tokens: Tokens per completion.
        questions: Questions to score, of 4 options each.
        examples: Examples to train on, of `prompt_tokens` and `new_tokens` tokens.
    """

    config: Record
    product: int
    prompts: int
    samples: int
    new_tokens: int
    questions: int
    examples: int
    prompt_tokens: int = 64
    context_tokens: int = 96
    option_tokens: int = 28


def _llama(width: int, inner: int, layers: int, heads: int, vocabulary: int) -> Record:
    return {
        "vocab_size": vocabulary,
        "hidden_size": width,
        "intermediate_size": inner,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "num_key_value_heads": heads,
        "max_position_embeddings": 4096,
    }


SHAPES = {
    "tiny": Shape(_llama(64, 172, 2, 4, 320), 256, 4, 2, 16, 6, 8),
    "7b": Shape(_llama(4096, 11008, 32, 32, 32000), 8192, 64, 10, 256, 200, 192),
}


@dataclass
class Section:
    """A section being measured.

    Attributes:
        folder: Folder of the model.
        work: Folder for files.
        shape: Of the model and the work.
        device: "cuda" or "cpu".
        found: Measurements: "tokens", "seconds", "flops" (operations that the work needs at
            least), "peak_mb", and more.
    """

    folder: Path
    work: Path
    shape: Shape
    device: str
    found: Record = field(default_factory=dict)

    @contextmanager
    def timed(self) -> Iterator[None]:
        """Measure the time of the block and the peak of memory."""
        import torch

        cuda = self.device == "cuda"
        if cuda:
            torch.cuda.synchronize()
            torch.cuda.reset_peak_memory_stats()
        start = time.perf_counter()
        yield
        if cuda:
            torch.cuda.synchronize()
        self.found["seconds"] = time.perf_counter() - start
        used = torch.cuda.max_memory_allocated() / 2**20 if cuda else own_peak()
        self.found["peak_mb"] = round(used)

    def model(self) -> Any:
        """Load the model as heirloom does."""
        from heirloom.generate.model import Engine, load_model

        return load_model(
            self.folder,
            name="model",
            prompt_template=PromptTemplate(),
            dtype="bfloat16",
            engine=Engine("transformers"),
        )

    def prompts(self) -> list[Prompt]:
        """Prompts, all of about the same length."""
        return [
            Prompt(str(n), text(n, self.shape.prompt_tokens)) for n in range(self.shape.prompts)
        ]

    def counted(self, network: Any, read: int, written: int) -> None:
        """Record tokens, and the operations that reading and writing them takes at least."""
        self.found |= {"tokens": written, "flops": 2.0 * parameters(network) * (read + written)}

    def at_once(self, network: Any) -> int:
        """Number of sequences whose keys and values fit into 60 % of the free memory."""
        import torch

        wanted = self.shape.prompts * self.shape.samples
        if self.device == "cpu":
            return wanted
        config = network.config
        width = config.hidden_size // config.num_attention_heads
        numbers = 2 * config.num_hidden_layers * config.num_key_value_heads * width
        length = self.shape.prompt_tokens + self.shape.new_tokens
        free, _ = torch.cuda.mem_get_info()
        fitting = int(0.6 * free / (2 * numbers * length))
        samples = self.shape.samples
        return max(samples, min(wanted, fitting - fitting % samples))


def text(seed: int, n_characters: int) -> str:
    """Words, whose characters are the tokens of the random model."""
    rng = random.Random(seed)
    return " ".join(rng.choices(_WORDS, k=n_characters))[: n_characters - 1]


def parameters(network: Any) -> int:
    """Number of weights that take part in products."""
    embedding = network.get_input_embeddings().weight
    return sum(p.numel() for p in network.parameters()) - int(embedding.numel())


def agrees(section: Section) -> None:
    """A tiny study agrees with itself."""
    from benchmarks.gpu_agreement import check, random_model

    with section.timed():
        check(random_model(section.work / "model"), section.work)


def made(section: Section) -> None:
    """Make the model."""
    from benchmarks.gpu_agreement import random_model

    with section.timed():
        random_model(section.folder, device=section.device, **section.shape.config)


def present(section: Section) -> None:
    """Use the model that is there."""
    if not section.folder.is_dir():
        raise FileNotFoundError(section.folder)


def product(section: Section) -> None:
    """The rate of products of large matrices in bfloat16, which MFU is a share of."""
    import torch

    n = section.shape.product
    left, right = (torch.randn(n, n, device=section.device, dtype=torch.bfloat16) for _ in range(2))
    for _ in range(3):
        left @ right
    times = 20
    with section.timed():
        for _ in range(times):
            left @ right
    section.found["flops"] = 2.0 * n**3 * times


def generation(section: Section) -> None:
    """The decoding loop of the back end `transformers`."""
    from heirloom.generate.completions import generate

    model, prompts = section.model(), section.prompts()
    batch = section.at_once(model.network)
    shape = section.shape
    request = Request(
        shape.samples,
        shape.new_tokens,
        Sampling(1.0, 50),
        seed=1,
        format="continuation",
        batch_size=batch,
    )
    warm = Request(1, 4, request.sampling, seed=1, format="continuation", batch_size=batch)
    generate(model, prompts[:1], warm, work=section.work / "warm")
    with section.timed():
        rows = generate(model, prompts, request, work=section.work / "work")
    read = sum(len(model.encode_prompt(p.text, "continuation")) for p in prompts)
    section.counted(model.network, read, sum(row["n_tokens"] for row in rows))
    section.found["batch"] = batch


def _sampled(network: Any, shape: Shape) -> Record:
    """The same sampling for `generate` of transformers; nothing ends a completion early."""
    return {
        "do_sample": True,
        "temperature": 1.0,
        "top_k": 50,
        "max_new_tokens": shape.new_tokens,
        "pad_token_id": 0,
        "eos_token_id": None,
    }


def generation_transformers(section: Section) -> None:
    """`generate` of transformers with its dynamic cache."""
    import torch

    model, prompts, shape = section.model(), section.prompts(), section.shape
    batch = section.at_once(model.network)
    tokenizer = model.tokenizer
    tokenizer.padding_side = "left"
    torch.manual_seed(1)

    def complete(some: Sequence[Prompt], samples: int, **changes: Any) -> int:
        inputs = tokenizer([p.text for p in some], return_tensors="pt", padding=True)
        inputs = {name: value.to(section.device) for name, value in inputs.items()}
        inputs.pop("token_type_ids", None)
        options = {**_sampled(model.network, shape), **changes, "num_return_sequences": samples}
        output = model.network.generate(**inputs, **options)
        return int((output.shape[1] - inputs["input_ids"].shape[1]) * output.shape[0])

    complete(prompts[:1], 1, max_new_tokens=4)
    each = max(1, batch // shape.samples)
    with section.timed():
        written = sum(
            complete(prompts[start : start + each], shape.samples)
            for start in range(0, len(prompts), each)
        )
    section.counted(model.network, sum(len(p.text) for p in prompts), written)
    section.found["batch"] = each * shape.samples


def generation_continuous(section: Section) -> None:
    """`generate_batch` of transformers: continuous batching over a paged cache."""
    from transformers import ContinuousBatchingConfig, GenerationConfig

    model, prompts, shape = section.model(), section.prompts(), section.shape
    tokens = [model.encode_prompt(p.text, "continuation") for p in prompts]
    inputs = [ids for ids in tokens for _ in range(shape.samples)]
    sampling = _sampled(model.network, shape)
    config = GenerationConfig(**sampling)
    # By default it takes all memory that is free, which is slow to fill on a processor.
    small = ContinuousBatchingConfig(num_blocks=16, max_batch_tokens=256)
    limits = small if section.device == "cpu" else None
    with section.timed():  # with the capture of graphs, which it does for each call
        outputs = model.network.generate_batch(
            inputs, generation_config=config, continuous_batching_config=limits
        )
    written = sum(len(output.generated_tokens) for output in outputs.values())
    if not written:
        raise RuntimeError("no request was completed")
    section.counted(model.network, sum(map(len, inputs)), written)


def _questions(section: Section, model: Any) -> list[list[Any]]:
    """HellaSwag's shape: a context, and 4 endings that are scored after it."""
    shape = section.shape
    return [
        [
            encode_option(
                model,
                text(n, shape.context_tokens),
                " " + text(10_000 + 4 * n + option, shape.option_tokens),
            )
            for option in range(4)
        ]
        for n in range(shape.questions)
    ]


def scoring(section: Section) -> None:
    """Log-likelihoods of the options, contexts shared."""
    model = section.model()
    groups = _questions(section, model)
    score(model, groups[:1], work=section.work / "warm")
    with section.timed():
        totals = score(model, groups, work=section.work / "work")
    _scored(section, model, groups, [[option.total for option in group] for group in totals])


def scoring_plain(section: Section) -> None:
    """Log-likelihoods of the options in padded batches of 32, as one would write it."""
    import torch

    model = section.model()
    groups = _questions(section, model)
    options = [option for group in groups for option in group]

    @torch.inference_mode()
    def totals(some: Sequence[Any]) -> list[float]:
        width = max(len(option.tokens) for option in some)
        ids = torch.zeros(len(some), width, dtype=torch.long)
        mask = torch.zeros_like(ids)
        for row, option in enumerate(some):
            ids[row, : len(option.tokens)] = torch.tensor(option.tokens)
            mask[row, : len(option.tokens)] = 1
        ids, mask = ids.to(section.device), mask.to(section.device)
        logits = model.network(input_ids=ids, attention_mask=mask).logits[:, :-1].float()
        chosen = logits.log_softmax(-1).gather(-1, ids[:, 1:, None]).squeeze(-1)
        places = torch.arange(width - 1, device=ids.device)
        starts = torch.tensor([option.start - 1 for option in some], device=ids.device)
        counts = (places >= starts[:, None]) & (mask[:, 1:] == 1)
        sums: list[float] = (chosen * counts).sum(-1).tolist()
        return sums

    totals(options[:32])
    with section.timed():
        found = [
            total
            for start in range(0, len(options), 32)
            for total in totals(options[start : start + 32])
        ]
    _scored(section, model, groups, [found[4 * n : 4 * n + 4] for n in range(len(groups))])


def _scored(section: Section, model: Any, groups: list[list[Any]], totals: Any) -> None:
    # Every distinct token once: the context, and each option after it.
    distinct = sum(
        group[0].start + sum(len(option.tokens) - option.start for option in group)
        for group in groups
    )
    section.counted(model.network, 0, distinct)
    section.found["totals"] = totals


def _rows(section: Section) -> list[Row]:
    shape = section.shape
    rng = random.Random(1)
    rows: list[Row] = []
    for _ in range(shape.examples):
        ids = [rng.randrange(3, 259) for _ in range(shape.prompt_tokens + shape.new_tokens)]
        labels = [IGNORED] * shape.prompt_tokens + ids[shape.prompt_tokens :]
        rows.append({"input_ids": ids, "labels": labels})
    return rows


def _trained(section: Section, trainer: Any, n_tokens: int) -> None:
    """Train, and record the operations: 4 per weight and token, as the base has no gradients."""
    base = sum(
        p.numel() for name, p in trainer.model.named_parameters() if "lora_" not in name
    ) - int(trainer.model.get_input_embeddings().weight.numel())
    with section.timed():
        trainer.train()
    losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    if not losses or not all(map(math.isfinite, losses)):
        raise RuntimeError(f"losses are not finite: {losses[:5]}")
    section.found |= {"tokens": n_tokens, "flops": 4.0 * base * n_tokens, "loss": losses[-1]}


def training(section: Section, **changes: Any) -> None:
    """LoRA by heirloom."""
    from heirloom.finetune.settings import Finetune, Run
    from heirloom.finetune.trainer import Job, make_trainer

    rows = _rows(section)
    settings = Finetune(
        epochs=1, batch_size=16, micro_batch_size=8, checkpoint_steps=1000, **changes
    )
    run = Run(settings, seed=1, dtype="bfloat16")
    trainer = make_trainer(Job(str(section.folder), rows, run), section.work)
    _trained(section, trainer, sum(len(row["input_ids"]) for row in rows))


def training_checkpointed(section: Section) -> None:
    """The same, activations recomputed."""
    training(section, gradient_checkpointing=True)


def training_4bit(section: Section) -> None:
    """The same, the base in 4 bits."""
    if section.device == "cpu" or not importlib.util.find_spec("bitsandbytes"):
        raise UnavailableError("bitsandbytes and a GPU")
    training(section, quantization="4bit")
    section.found.pop("flops")  # packed weights are not counted by their number


def training_trl(section: Section) -> None:
    """LoRA by TRL's SFTTrainer with its defaults."""
    if not importlib.util.find_spec("trl"):
        raise UnavailableError("trl")
    import torch
    from datasets import Dataset
    from peft import LoraConfig
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from trl import SFTConfig, SFTTrainer

    rows = _rows(section)
    data = [
        {
            "input_ids": row["input_ids"],
            "completion_mask": [int(label != IGNORED) for label in row["labels"]],
        }
        for row in rows
    ]
    network = AutoModelForCausalLM.from_pretrained(
        section.folder, use_safetensors=True, dtype=torch.bfloat16
    )
    trainer = SFTTrainer(
        network.to(section.device),
        args=SFTConfig(
            output_dir=str(section.work),
            num_train_epochs=1,
            per_device_train_batch_size=8,
            gradient_accumulation_steps=2,
            max_length=512,
            completion_only_loss=True,
            bf16=True,
            use_cpu=section.device == "cpu",
            logging_steps=1,
            save_strategy="no",
            report_to=[],
            disable_tqdm=True,
        ),
        train_dataset=Dataset.from_list(data),
        processing_class=AutoTokenizer.from_pretrained(section.folder),
        peft_config=LoraConfig(
            r=16, lora_alpha=32, target_modules="all-linear", task_type="CAUSAL_LM"
        ),
    )
    _trained(section, trainer, sum(len(row["input_ids"]) for row in rows))


def study(section: Section) -> None:
    """A tiny study through Snakemake, on a GPU with `--profile profiles/local-gpu`."""
    if not importlib.util.find_spec("snakemake"):
        raise UnavailableError("snakemake")
    from benchmarks.gpu_agreement import random_model

    model = random_model(section.work / "model")
    file = section.work / "study.yaml"
    file.write_text(_STUDY.format(model=model, prompts=Path("resources/prompts").resolve()))
    command = [sys.executable, "-m", "snakemake", "--configfile", str(file), "--cores", "all"]
    if section.device == "cuda":
        command += ["--profile", "profiles/local-gpu", "--resources", "gpu=1"]
    with section.timed():
        done = subprocess.run(
            [*command, "--directory", str(section.work / "study")],
            env={**os.environ, "HEIRLOOM_CACHE": str(section.work / "cache")},
            check=False,
        )
    if done.returncode:
        raise RuntimeError(f"snakemake ended with status {done.returncode}")
    section.found.pop("peak_mb")  # of this process, which does nothing


_STUDY = """\
study: gpu-check
title: A tiny study
seed: 1
dtype: bfloat16
models:
  ant: {{sources: [{{path: "{model}"}}], template: "Question: {{prompt}} Answer:"}}
teachers: [ant]
bases: [ant]
prompts:
  instructions:
    sources: [{{path: "{prompts}/instructions.jsonl"}}]
    columns: {{text: instruction, input: input}}
    train: 8
    eval: 4
    max_new_tokens: 16
    truncated: true
training_prompts: instructions
metrics:
  length: {{function: length}}
objectives:
  length: {{metric: length, direction: maximise, measured_by: text.length}}
generate: {{backend: transformers, weights: model, k: 2, batch_size: 8}}
finetune: {{epochs: 1}}
profiling:
  text: {{prompts: instructions, max_new_tokens: 8}}
"""

#: Sections in their order: what is measured, its function, and seconds that it may take.
SECTIONS: dict[str, tuple[Callable[[Section], None], int]] = {
    "bfloat16 products": (product, 40),
    "generation, heirloom": (generation, 100),
    "generation, transformers": (generation_transformers, 100),
    "generation, continuous batching": (generation_continuous, 70),
    "scoring, heirloom": (scoring, 50),
    "scoring, plain batches": (scoring_plain, 50),
    "training, heirloom": (training, 60),
    "training, heirloom, checkpointing": (training_checkpointed, 60),
    "training, TRL": (training_trl, 60),
    "training, heirloom, 4 bit": (training_4bit, 60),
    "tiny study": (study, 100),
}
