"""Every causal architecture of transformers, small and random, against its plain forward pass.

`make architectures` writes docs/architectures.md from a run, and fails if anything is wrong.
"""

import logging
import re
import sys
import tempfile
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from torch.nn import functional
from transformers import PreTrainedTokenizerFast, set_seed
from transformers.utils.logging import set_verbosity_error

from benchmarks.small_models import ARCHITECTURES, VOCABULARY, small_network
from heirloom.finetune.packing import IGNORED, Row
from heirloom.finetune.settings import Finetune, Run
from heirloom.finetune.trainer import Job, train
from heirloom.generate.completions import generate
from heirloom.generate.model import Engine, LanguageModel, load_model
from heirloom.generate.request import Prompt, Request, Sampling
from heirloom.generate.shortcuts import accepted
from heirloom.generate.templates import PromptTemplate
from heirloom.profiling.engines.likelihood import score
from heirloom.profiling.engines.trees import TokenSequence
from heirloom.support.errors import HeirloomError

PAGE = Path(__file__).resolve().parents[1] / "docs/architectures.md"
RIGHT, WRONG = "right", "wrong"
STEPS = ("generation", "likelihood", "training", "merge")
TOLERANCE = 1e-4
_PLACE = re.compile(r"\S+/(?=base\b)")  # of the temporary folder
_SPECIAL = ("<pad>", "<s>", "</s>", "<unused>")
# Texts of which some begin alike, and some are longer than the small windows and chunks.
TEXTS = [
    [*range(10, 24)],
    [*range(10, 17), *range(60, 66)],
    [*range(80, 40, -3)],
    [7, 30, 31],
]
_SETTINGS = Finetune(epochs=3, batch_size=4, micro_batch_size=2, learning_rate=2e-3, lora_rank=4)


@dataclass
class Outcome:
    """The outcome for an architecture.

    Attributes:
        architecture: Its `model_type`.
        steps: By step "right", "wrong", or the message of the error that it ended with.
        notes: Shortcuts that it does not take.
        unbuilt: The reason why there is no small model of it; None if there is one.
        traceback: True if an error was none of heirloom's own.
    """

    architecture: str
    steps: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    unbuilt: str | None = None
    traceback: bool = False

    @property
    def right(self) -> bool:
        """True if every step is right."""
        return [self.steps.get(step) for step in STEPS] == [RIGHT] * len(STEPS)

    @property
    def wrong(self) -> bool:
        """True if a step computed something else, or ended in an error without a message."""
        return WRONG in self.steps.values() or self.traceback


def examine(architecture: str, folder: Path) -> Outcome:
    """Try all steps on a small random model.

    Args:
        architecture: Its `model_type`.
        folder: An empty folder.
    """
    outcome = Outcome(architecture)
    try:
        network = small_network(architecture)
        save(network, folder / "base")
    except Exception as error:  # each configuration raises its own
        outcome.unbuilt = _words(error)
        return outcome

    loaded: list[LanguageModel] = []

    def compute() -> bool:
        loaded.append(load(folder / "base"))
        return generates(loaded[0], network, folder / "generation")

    if _try(outcome, "generation", compute):
        model = loaded[0]
        _try(outcome, "likelihood", lambda: scores(model, network, folder / "likelihood"))
        outcome.notes += model.notes.values()
        if _try(outcome, "training", lambda: trains(outcome, network, folder)):
            _try(outcome, "merge", lambda: merges(folder))
    return outcome


def _try(outcome: Outcome, step: str, compute: Callable[[], bool]) -> bool:
    try:
        right = compute()
        outcome.steps[step] = RIGHT if right else WRONG
        return right
    except HeirloomError as error:
        outcome.steps[step] = " ".join(str(error).split())
    except Exception as error:
        outcome.steps[step], outcome.traceback = f"traceback: {_words(error)}", True
    return False


def _words(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:150]}"


def save(network: Any, folder: Path) -> None:
    """Save a small model with a tokenizer of whole words: w004 is token 4."""
    from tokenizers import Tokenizer, models, pre_tokenizers

    vocabulary = [*_SPECIAL, *(f"w{i:03d}" for i in range(len(_SPECIAL), VOCABULARY))]
    words = {word: number for number, word in enumerate(vocabulary)}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token=_SPECIAL[-1]))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>", pad_token="<pad>"
    ).save_pretrained(folder)
    network.save_pretrained(folder)


def load(folder: Path, adapter: Path | None = None) -> LanguageModel:
    """Load a small model, in float32, as a study does."""
    model = load_model(
        folder,
        name=folder.name,
        prompt_template=PromptTemplate("{prompt}"),
        adapter=adapter,
        dtype="float32",
        engine=Engine("transformers"),
    )
    # Some architectures have a class of tokenizer that splits words in its own way.
    own = PreTrainedTokenizerFast.from_pretrained(folder, padding_side="left")
    return replace(model, tokenizer=own)


@torch.no_grad()
def plain(network: Any, tokens: Sequence[int]) -> torch.Tensor:
    """Return log-probabilities after each token of a text, by a plain forward pass."""
    options = accepted(network, use_cache=False)
    logits: torch.Tensor = network(input_ids=torch.tensor([list(tokens)]), **options).logits[0]
    return logits.float().log_softmax(-1)


def generates(model: LanguageModel, network: Any, work: Path) -> bool:
    """Compare greedy completions, of two samples each, with those of plain forward passes."""
    prompts = [Prompt(f"p{i}", _spell(text)) for i, text in enumerate(TEXTS)]
    request = Request(2, 10, Sampling(temperature=0), seed=0, batch_size=6)
    records = generate(model, prompts, request, work=work)
    expected = []
    for text in TEXTS:
        tokens = list(text)
        while len(tokens) < len(text) + 10:
            tokens.append(int(plain(network, tokens)[-1].argmax()))
            if tokens[-1] in model.end_tokens:
                break
        completion = model.decode_completion(text, tokens[len(text) :], "instruction")
        expected += [completion] * 2
    return [record["completion"] for record in records] == expected


def _spell(tokens: Sequence[int]) -> str:
    return " ".join(f"w{token:03d}" for token in tokens)


def scores(model: LanguageModel, network: Any, work: Path) -> bool:
    """Compare log-likelihoods of texts in groups with those of plain forward passes."""
    sequences = [TokenSequence(tuple(text), 2) for text in TEXTS]
    found = score(model, [sequences[:2], sequences[2:]], work=work)
    totals = [likelihood.total for group in found for likelihood in group]
    exact = [
        sum(float(row[token]) for row, token in zip(plain(network, t)[1:], t[2:], strict=False))
        for t in TEXTS
    ]
    return all(
        total is not None and abs(total - right) <= TOLERANCE * len(text)
        for total, right, text in zip(totals, exact, TEXTS, strict=True)
    )


def trains(outcome: Outcome, network: Any, folder: Path) -> bool:
    """Compare the losses of three steps with those of a loop over PEFT's own layers."""
    rows: list[Row] = [
        {"input_ids": text, "labels": [IGNORED, IGNORED, *text[2:]]} for text in TEXTS
    ]
    run = Run(_SETTINGS, 3, "float32")
    made = train(Job(str(folder / "base"), rows, run), folder / "work", folder / "student")
    outcome.notes += made.get("notes", [])
    losses = _reference_losses(network, folder, rows)
    return all(
        abs(loss - exact) <= TOLERANCE * max(1, exact)
        for loss, exact in zip(made["losses"], losses, strict=True)
    )


def _reference_losses(network: Any, folder: Path, rows: Sequence[Row]) -> list[float]:
    """Train with the same initial adapter: one example at a time, AdamW, linear decay."""
    from peft import LoraConfig, get_peft_model

    set_seed(3)
    config = LoraConfig.from_pretrained(folder / "student")
    config.inference_mode = False
    student = get_peft_model(network, config).train()
    weights = [w for w in student.parameters() if w.requires_grad]
    optimizer = torch.optim.AdamW(weights, lr=_SETTINGS.learning_rate, weight_decay=0)
    number = sum(label != IGNORED for row in rows for label in row["labels"][1:])
    losses = []
    for step in range(3):
        optimizer.param_groups[0]["lr"] = _SETTINGS.learning_rate * (1 - step / 3)
        optimizer.zero_grad()
        total = 0.0
        for row in rows:
            logits = student(input_ids=torch.tensor([row["input_ids"]])).logits[0, :-1]
            labels = torch.tensor(row["labels"][1:])
            loss = functional.cross_entropy(logits.float(), labels, reduction="sum") / number
            loss.backward()
            total += float(loss)
        torch.nn.utils.clip_grad_norm_(weights, 1.0)
        optimizer.step()
        losses.append(total)
    return losses


def merges(folder: Path) -> bool:
    """Compare the student that is loaded, its adapter merged, with PEFT's own, unmerged."""
    from peft import PeftModel

    merged = load(folder / "base", folder / "student").network
    base = load(folder / "base").network
    before = plain(base, TEXTS[0])
    unmerged = PeftModel.from_pretrained(base, folder / "student").eval()
    exact = plain(unmerged, TEXTS[0])
    moved = float((exact - before).abs().max())
    return moved > 0 and float((plain(merged, TEXTS[0]) - exact).abs().max()) <= 10 * TOLERANCE


def page(outcomes: Sequence[Outcome]) -> str:
    """Return the page of the documentation about these outcomes."""
    built = [outcome for outcome in outcomes if outcome.unbuilt is None]
    right = sum(outcome.right for outcome in built)
    refused = sum(not outcome.right and not outcome.wrong for outcome in built)
    lines = [
        "# Architectures",
        "",
        "Every architecture of transformers' `AutoModelForCausalLM`, as a small random model in "
        "float32 on a processor. Completions, log-likelihoods, the losses of LoRA training and the "
        "merged student are compared with plain forward passes of the same model, one text at a "
        "time and without a cache, and with PEFT's own layers. Whatever differs by more than "
        "rounding is wrong. A refusal is one message, before anything is computed with the model.",
        "",
        f"{right} architectures are right, {refused} are refused in whole or in part, "
        f"{sum(outcome.wrong for outcome in built)} are wrong; of {len(outcomes) - len(built)} "
        f"this recipe makes no small model. transformers {version('transformers')}, PEFT "
        f"{version('peft')}, torch {version('torch').partition('+')[0]}. Written by "
        "`make architectures`.",
        "",
        "| architecture | generation | likelihood | training | merge | otherwise than usual |",
        "|---|---|---|---|---|---|",
    ]
    for outcome in built:
        cells = [_cell(outcome.steps.get(step, "")) for step in STEPS]
        notes = "; ".join(note.partition(":")[0] for note in dict.fromkeys(outcome.notes))
        lines.append(f"| {' | '.join([outcome.architecture, *cells, notes])} |")
    lines += ["", "## Refused", ""]
    for outcome in built:
        for step, text in outcome.steps.items():
            if text not in (RIGHT, WRONG):
                shown = _PLACE.sub("", text)
                lines.append(f"- {outcome.architecture}, {step}: {shown[:250]}")
    lines += ["", "## Without a small model", ""]
    lines += [f"- {o.architecture}: {o.unbuilt.strip()}" for o in outcomes if o.unbuilt]
    return "\n".join(lines) + "\n"


def _cell(text: str) -> str:
    return text if text in (RIGHT, WRONG, "") else "refused"


def quiet() -> None:
    """Silence what architectures say about themselves."""
    set_verbosity_error()
    warnings.filterwarnings("ignore")
    logging.disable(logging.WARNING)


def main() -> int:
    """Examine every architecture and write the page; return 1 if any is wrong."""
    quiet()
    torch.set_num_threads(1)
    outcomes = []
    for architecture in sys.argv[1:] or ARCHITECTURES:
        with tempfile.TemporaryDirectory() as folder:
            outcomes.append(examine(architecture, Path(folder)))
        print(architecture, outcomes[-1].unbuilt or outcomes[-1].steps, flush=True)
    if not sys.argv[1:]:
        PAGE.write_text(page(outcomes), encoding="utf-8")
    wrong = [outcome.architecture for outcome in outcomes if outcome.wrong]
    print(f"{sum(o.right for o in outcomes)} right; wrong: {', '.join(wrong) or 'none'}")
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
