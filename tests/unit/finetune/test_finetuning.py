"""Finetuning: which tokens carry loss, the loss itself, and that a kill changes no weight."""

import json
import logging
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from tiny import tiny_network

from heirloom.finetune.examples import encode_example
from heirloom.finetune.launch import Base, Folders, Hardware, finetune
from heirloom.finetune.loss import completion_loss, cross_entropy
from heirloom.finetune.methods import METHODS
from heirloom.finetune.packing import IGNORED, attend, pack, use_packing
from heirloom.finetune.settings import Finetune, Run
from heirloom.generate.model import load_tokenizer
from heirloom.generate.templates import PromptTemplate
from heirloom.support.errors import HeirloomError
from heirloom.support.files import Record, read_json, write_json

ROOT = Path(__file__).resolve().parents[3]


def example(prompt: str, completion: str, finish: str = "stop") -> Record:
    return {"prompt": prompt, "completion": completion, "finish_reason": finish}


EXAMPLES = [
    example(f"Question {i}?", " ".join(["wren", "robin", "swift"][: 1 + i % 3]) + f" {i}")
    for i in range(10)
]
# 10 examples, 4 a step: 3 steps an epoch, 6 in all, with a checkpoint after 2, 4 and 6.
SETTINGS = Finetune(epochs=2, batch_size=4, lora_rank=4, checkpoint_steps=2)
RUN = Run(SETTINGS, seed=1, dtype="float32")


def with_settings(**changes: Any) -> Run:
    """`RUN` with other settings, unchecked."""
    return replace(RUN, settings=SETTINGS.model_copy(update=changes))


def train(
    base: Path,
    folder: Path,
    run: Run = RUN,
    examples: list[Record] = EXAMPLES,
    processes: int = 1,
) -> Record:
    folders = Folders(folder / "work", folder / "adapter")
    return finetune(Base(base), examples, "instruction", run, folders, Hardware(processes))


def weights(folder: Path) -> bytes:
    return (folder / "adapter" / "adapter_model.safetensors").read_bytes()


def tensors(folder: Path) -> dict[str, torch.Tensor]:
    from safetensors.torch import load_file

    return dict(load_file(folder / "adapter" / "adapter_model.safetensors"))


@pytest.fixture(scope="session")
def trained(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Record]:
    """The folder and the manifest of one unbroken run."""
    folder = tmp_path_factory.mktemp("trained")
    return folder, train(tiny_model, folder)


# What carries loss


@pytest.mark.parametrize(
    ("finish", "template", "format", "prompt", "trained_on"),
    [
        (
            "stop",
            "chat",
            "instruction",
            "<s><|im_start|>user\nWhich bird?<|im_end|>\n<|im_start|>assistant\n",
            "A wren.<|im_end|>",
        ),
        (
            "length",
            "chat",
            "instruction",
            "<s><|im_start|>user\nWhich bird?<|im_end|>\n<|im_start|>assistant\n",
            "A wren.",
        ),
        ("stop", "Q: {prompt} A: ", "instruction", "<s>Q: Which bird? A: ", "A wren.<|im_end|>"),
        ("length", "chat", "continuation", "<s>Which bird?", "A wren."),
    ],
)
def test_loss_is_on_the_completion_and_on_its_end(
    tiny_model: Path, finish: str, template: str, format: Any, prompt: str, trained_on: str
) -> None:
    tokenizer = load_tokenizer(tiny_model)
    row = encode_example(
        tokenizer, PromptTemplate(template), example("Which bird?", "A wren.", finish), format
    )
    carries = [label != IGNORED for label in row["labels"]]
    assert len(row["labels"]) == len(row["input_ids"])
    assert (
        tokenizer.decode([t for t, c in zip(row["input_ids"], carries, strict=True) if not c])
        == prompt
    )
    assert tokenizer.decode([label for label in row["labels"] if label != IGNORED]) == trained_on
    # Where there is loss, the label is the token itself, and it is all at the end.
    assert row["labels"][carries.index(True) :] == row["input_ids"][carries.index(True) :]
    assert all(carries[carries.index(True) :])


def test_a_completion_that_spells_control_tokens_is_trained_as_text(tiny_model: Path) -> None:
    tokenizer = load_tokenizer(tiny_model)
    row = encode_example(
        tokenizer, PromptTemplate(), example("<s>", "a</s><|im_end|>b", "stop"), "instruction"
    )
    learnt = [label for label in row["labels"] if label != IGNORED]
    assert tokenizer.decode(learnt) == "a</s><|im_end|>b<|im_end|>"
    assert [token for token in learnt if token < 4] == [3]  # the end token alone
    # The prompt's are the template's: <s>, <|im_start|> user, <|im_end|>, <|im_start|> assistant.
    assert [token for token in row["input_ids"] if token < 4] == [1, 2, 3, 2, 3]


@pytest.mark.parametrize(
    ("template", "format", "end"),
    [("chat", "instruction", 3), ("chat", "continuation", 1), ("Q: {prompt}", "instruction", 1)],
)
def test_the_end_that_is_trained_is_the_templates(
    tiny_model: Path, template: str, format: Any, end: int
) -> None:
    tokenizer = load_tokenizer(tiny_model)
    tokenizer.eos_token = "<s>"  # the template ends a turn by <|im_end|>
    row = encode_example(tokenizer, PromptTemplate(template), example("a", "b", "stop"), format)
    assert row["labels"][-1] == end


@pytest.mark.parametrize(
    ("completion", "prompt", "trained_on"),
    [
        ("A wren.", "<s>Which bird? <think>\n\n</think>\n\n", "A wren.<|im_end|>"),
        (
            "<think>\nSmall?\n</think>\n\nA wren.",
            "<s>Which bird? <think>\n",
            "Small?\n</think>\n\nA wren.<|im_end|>",
        ),
    ],
)
def test_no_answer_is_trained_inside_a_block_of_reasoning(
    tiny_model: Path, completion: str, prompt: str, trained_on: str
) -> None:
    """The template opens the block; a completion that keeps its reasoning continues it."""
    tokenizer = load_tokenizer(tiny_model)
    template = PromptTemplate("{prompt} <think>\n")
    row = encode_example(tokenizer, template, example("Which bird?", completion), "instruction")
    learnt = [label for label in row["labels"] if label != IGNORED]
    assert tokenizer.decode(learnt) == trained_on
    assert tokenizer.decode(row["input_ids"][: -len(learnt)]) == prompt


def packed(*rows: tuple[list[int], list[int]]) -> dict[str, Any]:
    batch = pack([{"input_ids": ids, "labels": labels} for ids, labels in rows])
    return {key: v.tolist() if isinstance(v, torch.Tensor) else v for key, v in batch.items()}


def test_a_packed_row() -> None:
    """The last example begins with a token that would carry loss if anything preceded it."""
    assert packed(([5, 6, 7], [IGNORED, 6, 7]), ([8], [IGNORED]), ([9, 10], [9, 10])) == {
        "input_ids": [[5, 6, 7, 8, 9, 10]],
        "position_ids": [[0, 1, 2, 0, 0, 1]],
        "labels": [[IGNORED, 6, 7, IGNORED, IGNORED, 10]],
        "logits_to_keep": [0, 1, 4],  # the place before each token with loss
        "lengths": (0, 3, 1, 2),
        "use_cache": False,
    }


def test_a_shared_prefix_comes_once() -> None:
    row = packed(
        ([1, 2, 3, 4, 5], [IGNORED] * 4 + [5]), ([1, 2, 6, 7], [IGNORED, IGNORED, IGNORED, 7])
    )
    assert row["input_ids"] == [[1, 2, 3, 4, 5, 6, 7]]
    assert row["position_ids"] == [[0, 1, 2, 3, 4, 2, 3]]
    assert row["lengths"] == (2, 3, 2)
    assert row["labels"] == [[IGNORED] * 4 + [5, IGNORED, 7]]


def test_what_predicts_a_token_with_loss_is_not_shared() -> None:
    """The same prompt, 1 2 3, twice: its last token predicts another one in each example."""
    row = packed(
        ([1, 2, 3, 4], [IGNORED] * 3 + [4]),
        ([1, 2, 3, 5], [IGNORED] * 3 + [5]),
    )
    assert row["input_ids"] == [[1, 2, 3, 4, 3, 5]]
    assert row["lengths"] == (2, 2, 2)
    assert row["logits_to_keep"] == [2, 4]
    alone = packed(([1, 2, 3, 4], [IGNORED] * 3 + [4]))
    assert alone["lengths"] == (0, 4)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_cross_entropy_and_its_gradient(dtype: torch.dtype) -> None:
    generator = torch.Generator().manual_seed(0)
    # 130 rows: two whole blocks and the rest of one.
    logits = (3 * torch.randn(130, 50, generator=generator)).to(dtype)
    targets = torch.randint(50, (130,), generator=generator)
    reference = logits.float().requires_grad_()
    expected = torch.nn.functional.cross_entropy(reference, targets, reduction="sum")
    (0.5 * expected).backward()
    ours = logits.detach().clone().requires_grad_()
    total = cross_entropy(ours * 1, targets)  # a copy, because it is overwritten
    assert total.item() == pytest.approx(expected.item(), rel=1e-6)
    (0.5 * total).backward()
    tolerance = 1e-6 if dtype == torch.float32 else 4e-3  # bfloat16 has 8 bits
    torch.testing.assert_close(ours.grad.float(), reference.grad, atol=tolerance, rtol=0)


def test_the_cross_entropy_of_nothing() -> None:
    logits = torch.empty(0, 50, requires_grad=True)
    total = cross_entropy(logits * 1, torch.empty(0, dtype=torch.long))
    total.backward()
    assert total.item() == 0 and logits.grad.shape == (0, 50)


def encoded(base: Path, rows: list[Record]) -> list[dict[str, list[int]]]:
    tokenizer = load_tokenizer(base)
    return [encode_example(tokenizer, PromptTemplate(), row, "instruction") for row in rows]


def adapted(model: Any) -> Any:
    """With an adapter of random weights, the same each time."""
    from peft import LoraConfig, get_peft_model

    torch.manual_seed(0)
    config = LoraConfig(r=4, lora_alpha=8, target_modules="all-linear", init_lora_weights=False)
    return get_peft_model(model, config).eval()


def load(base: Path) -> Any:
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(base)


def own_gradients(student: Any, rows: list[dict[str, list[int]]]) -> tuple[float, list[Any]]:
    """The model's own loss, mean over tokens of all rows, each computed alone; its gradients."""
    count = sum(label != IGNORED for row in rows for label in row["labels"])
    total = 0.0
    for row in rows:
        n = sum(label != IGNORED for label in row["labels"])
        loss = student(**{key: torch.tensor([ids]) for key, ids in row.items()}).loss * n / count
        loss.backward()
        total += loss.item()
    return total, [p.grad for p in student.parameters() if p.requires_grad]


def packed_gradients(student: Any, rows: list[dict[str, list[int]]]) -> tuple[float, list[Any]]:
    """The loss of training, of all rows in one, and its gradients."""
    batch = pack(rows)
    labels = batch.pop("labels")
    loss = completion_loss(student(**batch), labels)
    loss.backward()
    return loss.item(), [p.grad for p in student.parameters() if p.requires_grad]


def test_packed_it_is_the_models_own_loss_and_gradient(tiny_model: Path) -> None:
    rows = encoded(tiny_model, EXAMPLES[:4])
    expected, gradients = own_gradients(adapted(load(tiny_model)), rows)
    model = load(tiny_model)
    assert use_packing(model)
    assert pack(rows)["lengths"][0] > 3  # of the chat template
    loss, ours = packed_gradients(adapted(model), rows)
    assert loss == pytest.approx(expected, abs=1e-5)
    assert loss > 1
    assert len(ours) == len(gradients) == 28
    for gradient, reference in zip(ours, gradients, strict=True):
        assert reference.abs().max() > 1e-4
        torch.testing.assert_close(gradient, reference, atol=1e-5, rtol=1e-3)


gemma = partial(tiny_network, "gemma2")


def test_the_loss_of_a_model_that_caps_its_logits(tiny_model: Path) -> None:
    """Gemma 2 squeezes its logits after the head; others scale them there."""
    rows = encoded(tiny_model, EXAMPLES[:4])
    options = {"final_logit_softcapping": 2.0, "attn_logit_softcapping": None}
    expected, gradients = own_gradients(adapted(gemma(**options)), rows)
    model = gemma(**options)
    assert use_packing(model)
    loss, ours = packed_gradients(adapted(model), rows)
    assert loss == pytest.approx(expected, abs=1e-5)
    torch.testing.assert_close(ours, gradients, atol=1e-5, rtol=1e-3)


@pytest.mark.parametrize("shared", [True, False])
def test_a_sliding_window_ends_in_each_example(tiny_model: Path, shared: bool) -> None:
    """Every other layer of Gemma 2 sees only the last few tokens, here 6 of some 20."""
    rows = encoded(tiny_model, EXAMPLES[:4])
    if not shared:
        rows[1]["input_ids"][0] = 7
    assert (pack(rows)["lengths"][0] > 3) == shared
    assert min(len(row["input_ids"]) for row in rows) > 6
    options = {"sliding_window": 6, "attn_logit_softcapping": None}
    expected, gradients = own_gradients(adapted(gemma(**options)), rows)
    model = gemma(**options)
    assert use_packing(model)
    loss, ours = packed_gradients(adapted(model), rows)
    assert loss == pytest.approx(expected, abs=1e-5)
    torch.testing.assert_close(ours, gradients, atol=1e-5, rtol=1e-3)
    wide, _ = packed_gradients(adapted(gemma(attn_logit_softcapping=None)), rows[:1])
    narrow, _ = packed_gradients(adapted(gemma(**options)), rows[:1])
    assert wide != pytest.approx(narrow, abs=1e-4)


@pytest.mark.parametrize("lengths", [(5, 20, 1, 13), (0, 26, 13), None])
@pytest.mark.parametrize("window", [None, 8])
@pytest.mark.parametrize("scaling", [None, 0.3])
def test_attention_in_16_bits_is_that_of_float32(
    lengths: tuple[int, ...] | None, window: int | None, scaling: float | None
) -> None:
    """Output and gradients of 6 heads that share 2 keys; float32 takes torch's own attention."""
    torch.manual_seed(0)
    module = SimpleNamespace(num_key_value_groups=3, is_causal=True)
    inputs = [torch.randn(1, heads, 39, 16) for heads in (6, 2, 2)]
    upstream = torch.randn(1, 39, 6, 16)

    def compute(dtype: torch.dtype) -> list[torch.Tensor]:
        given = [tensor.to(dtype).requires_grad_() for tensor in inputs]
        output, _ = attend(
            module, *given, None, lengths=lengths, sliding_window=window, scaling=scaling
        )
        return [output, *torch.autograd.grad(output, given, upstream.to(dtype))]

    exact = compute(torch.float32)
    for found, right in zip(compute(torch.bfloat16), exact, strict=True):
        # 8 bits of each number, in a few products: 2^-8 of each, which average out.
        assert (found.float() - right).norm() < 0.02 * right.norm()


def mamba() -> Any:
    from transformers import MambaConfig, MambaForCausalLM

    torch.manual_seed(0)
    config = MambaConfig(vocab_size=300, hidden_size=32, num_hidden_layers=2, initializer_range=0.5)
    return MambaForCausalLM(config).eval()


@pytest.mark.parametrize("why", ["capped attention", "a recurrent layer"])
def test_what_cannot_be_packed_is_left_as_it_was(tiny_model: Path, why: str) -> None:
    model = gemma(attn_logit_softcapping=5.0) if why == "capped attention" else mamba()
    before = model.config._attn_implementation
    tokens = torch.tensor([[5, 6, 7]])
    with torch.no_grad():
        logits = model(tokens).logits
        assert not use_packing(model)
        assert model.config._attn_implementation == before
        torch.testing.assert_close(model(tokens).logits, logits, atol=0, rtol=0)


def test_chunks_that_an_example_exceeds_are_not_packed() -> None:
    """Llama 4 in chunks of 70, more than the texts of a trial: what `attend` knows nothing of."""
    from transformers import Llama4ForCausalLM, Llama4TextConfig

    torch.manual_seed(0)
    sizes = {"vocab_size": 300, "hidden_size": 32, "intermediate_size": 64, "head_dim": 16}
    config = Llama4TextConfig(
        **sizes,
        intermediate_size_mlp=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        num_local_experts=2,
        pad_token_id=0,
        attention_chunk_size=70,
        layer_types=["chunked_attention", "full_attention"],
    )
    model = Llama4ForCausalLM(config).eval()
    assert not use_packing(model, 71)
    assert use_packing(model, 70)


def test_a_base_that_a_method_does_not_fit_is_one_message(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unfit(model: Any, settings: Any) -> Any:
        raise ValueError("no linear\nlayer")

    own = replace(METHODS.get("lora"), prepare=unfit)
    monkeypatch.setitem(METHODS._components, "lora", own)
    message = r"'lora' does not fit the base .*\(LlamaForCausalLM\): ValueError: no linear layer"
    with pytest.raises(HeirloomError, match=message):
        train(tiny_model, tmp_path)


def test_a_batch_is_averaged_over_tokens_not_examples(tiny_model: Path) -> None:
    """sum of n_i * loss_i / sum of n_i, from each example alone."""
    rows = encoded(
        tiny_model, [example("Which?", "A wren."), example("And which?", "Robins, and a swift.")]
    )
    model = load(tiny_model)
    assert use_packing(model)
    student = adapted(model)
    alone = [packed_gradients(student, [row])[0] for row in rows]
    counts = [sum(label != IGNORED for label in row["labels"]) for row in rows]
    assert counts[0] != counts[1]
    together, _ = packed_gradients(student, rows)
    expected = sum(n * loss for n, loss in zip(counts, alone, strict=True)) / sum(counts)
    assert together == pytest.approx(expected, abs=1e-5)
    assert together != pytest.approx(sum(alone) / 2, abs=1e-3)


# A run


def test_a_run_is_accounted_for(tiny_model: Path, trained: tuple[Path, Record]) -> None:
    _, manifest = trained
    tokenizer = load_tokenizer(tiny_model)
    completions = [tokenizer(e["completion"], add_special_tokens=False) for e in EXAMPLES]
    # Each with its end token; 10 examples in steps of 4 are 3 steps an epoch.
    assert manifest["n_loss_tokens"] == sum(len(c.input_ids) + 1 for c in completions)
    prompts = [
        len(
            tokenizer(
                f"<|im_start|>user\n{e['prompt']}<|im_end|>\n<|im_start|>assistant\n"
            ).input_ids
        )
        for e in EXAMPLES
    ]  # the tokenizer adds the BOS that the chat template would
    assert manifest["n_tokens"] == manifest["n_loss_tokens"] + sum(prompts)
    assert (manifest["n_examples"], manifest["n_too_long"], manifest["n_steps"]) == (10, 0, 6)
    assert len(manifest["losses"]) == 6
    assert sum(manifest["losses"][3:]) < sum(manifest["losses"][:3])
    assert manifest["recipe"]["seed"] == 1


def test_the_adapter_is_a_peft_folder(trained: tuple[Path, Record]) -> None:
    folder, _ = trained
    assert {p.name for p in (folder / "adapter").iterdir()} == {
        "adapter_config.json",
        "adapter_model.safetensors",
    }
    names = {name.split(".")[-3] for name in tensors(folder) if name.endswith("lora_A.weight")}
    linear = {"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"}
    assert names == linear  # and no lm_head
    assert all(tensor.dtype == torch.float32 for tensor in tensors(folder).values())


def test_the_recipe_of_a_manifest() -> None:
    assert Run(Finetune(epochs=3), seed=7).recipe == {
        "seed": 7,
        "epochs": 3,
        "learning_rate": 0.001,
        "batch_size": 4,
        "micro_batch_size": 2,
        "lora_rank": 16,
        "lora_alpha": 32,
        "max_length": 512,
        "checkpoint_steps": 10,
        "gradient_checkpointing": False,
        "quantization": "none",
        "dtype": "auto",
    }


def test_a_run_is_read_back_from_json() -> None:
    record = json.loads(json.dumps(RUN.record()))
    again = Run.read(record)
    assert again.recipe == RUN.recipe and again.record() == record
    assert (again.seed, again.dtype, again.method) == (1, "float32", "lora")
    # As it was written: a whole number of epochs stays one in every manifest.
    assert str(Run.read(Run(Finetune(), 1).record()).recipe["epochs"]) == "2"


def test_the_settings_name_methods_that_there_are() -> None:
    assert Finetune().methods == ["lora"]
    with pytest.raises(ValidationError, match="no training method 'lola'"):
        Finetune(methods=["lola"])
    with pytest.raises(ValidationError, match="lora is named twice"):
        Finetune(methods=["lora", "lora"])


def test_checking_the_settings_imports_nothing_heavy() -> None:
    code = (
        "import sys; from heirloom.finetune.settings import Finetune; Finetune(methods=['lora']);"
        "print(*{'torch', 'transformers', 'peft', 'numpy'} & set(sys.modules))"
    )
    ran = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert (ran.returncode, ran.stdout.strip()) == (0, ""), ran.stderr


def test_training_lowers_the_loss(tiny_model: Path, tmp_path: Path) -> None:
    # One example, seen 40 times: it must be memorised, not merely nudged.
    run = with_settings(epochs=40, learning_rate=1e-2, checkpoint_steps=1_000)
    manifest = train(tiny_model, tmp_path, run, EXAMPLES[:1])
    assert manifest["losses"][-1] < 0.5 * manifest["losses"][0]


def test_examples_that_are_too_long_are_counted(
    tiny_model: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    tokenizer = load_tokenizer(tiny_model)
    lengths = sorted(
        len(encode_example(tokenizer, PromptTemplate(), e, "instruction")["input_ids"])
        for e in EXAMPLES
    )
    limit = lengths[5]
    kept = sum(n <= limit for n in lengths)
    assert 0 < kept < 10
    run = with_settings(epochs=1, max_length=limit)
    with caplog.at_level(logging.WARNING):
        manifest = train(tiny_model, tmp_path, run)
    assert (manifest["n_examples"], manifest["n_too_long"]) == (kept, 10 - kept)
    assert f"{10 - kept} of 10 examples are longer than {limit} tokens" in caplog.text


def test_no_example_left(tiny_model: Path, tmp_path: Path) -> None:
    with pytest.raises(HeirloomError, match=r"10 are longer than finetune\.max_length, 5 tokens"):
        train(tiny_model, tmp_path, with_settings(max_length=5))
    with pytest.raises(HeirloomError, match="no training example is left"):
        train(tiny_model, tmp_path, examples=[])
    assert not (tmp_path / "adapter").exists()


def test_a_loss_that_is_not_a_number(tiny_model: Path, tmp_path: Path) -> None:
    """A learning rate of 1e30 makes weights whose products overflow float32."""
    with pytest.raises(HeirloomError, match=r"the loss is not a number.*finetune\.learning_rate"):
        train(tiny_model, tmp_path, with_settings(learning_rate=1e30, epochs=4))
    assert not (tmp_path / "adapter").exists()


def test_an_example_with_nothing_to_learn_does_no_harm(tiny_model: Path, tmp_path: Path) -> None:
    """A truncated completion of nothing carries no loss: alone in a step, 0 tokens divide 0."""
    examples = [example("Which bird?", "", "length"), *EXAMPLES[:2]]
    train(tiny_model, tmp_path, with_settings(batch_size=1, epochs=1), examples)
    assert all(tensor.isfinite().all() for tensor in tensors(tmp_path).values())


@pytest.mark.parametrize(
    "change",
    [{"micro_batch_size": 1}, {"micro_batch_size": 4}, {"gradient_checkpointing": True}],
    ids=str,
)
def test_how_it_is_computed_changes_nothing_but_rounding(
    tiny_model: Path, trained: tuple[Path, Record], tmp_path: Path, change: dict[str, Any]
) -> None:
    other = train(tiny_model, tmp_path, with_settings(**change))
    assert other["losses"] == pytest.approx(trained[1]["losses"], rel=1e-5)
    torch.testing.assert_close(tensors(tmp_path), tensors(trained[0]), atol=1e-5, rtol=0)


def test_what_cannot_be_packed_is_trained_an_example_at_a_time(
    tiny_model: Path, trained: tuple[Path, Record], tmp_path: Path, monkeypatch: Any
) -> None:
    monkeypatch.setattr("heirloom.finetune.trainer.use_packing", lambda *given: False)
    other = train(tiny_model, tmp_path)
    assert other["losses"] == pytest.approx(trained[1]["losses"], rel=1e-5)


def test_in_bfloat16(tiny_model: Path, trained: tuple[Path, Record], tmp_path: Path) -> None:
    other = train(tiny_model, tmp_path, replace(RUN, dtype="bfloat16"))
    assert other["losses"] == pytest.approx(trained[1]["losses"], rel=0.02)
    assert other["losses"] != trained[1]["losses"]
    assert all(tensor.dtype == torch.float32 for tensor in tensors(tmp_path).values())


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_four_bits_need_a_gpu(tiny_model: Path, tmp_path: Path) -> None:
    with pytest.raises(HeirloomError, match="quantization: 4bit needs an NVIDIA GPU"):
        train(tiny_model, tmp_path, with_settings(quantization="4bit"))


# Several processes


def test_a_step_that_processes_cannot_share(tiny_model: Path, tmp_path: Path) -> None:
    with pytest.raises(HeirloomError, match="batch_size, 4, cannot be shared by 3 processes"):
        train(tiny_model, tmp_path, processes=3)


def test_an_error_in_one_of_several_processes(tiny_model: Path, tmp_path: Path) -> None:
    run = with_settings(learning_rate=1e30, epochs=4)
    with pytest.raises(HeirloomError, match=r"the loss is not a number.*finetune\.learning_rate"):
        train(tiny_model, tmp_path, run, processes=2)


def test_two_killed_processes_resume_to_the_weights_of_one(
    tiny_model: Path, tmp_path: Path
) -> None:
    """Shared by DDP over gloo; 3 steps an epoch, the last of 2 examples, which is one for each."""
    run = with_settings(epochs=20)
    unbroken = train(tiny_model, tmp_path / "one", run)

    folder = tmp_path / "two"
    kill_at_step_4(tiny_model, folder, "with_settings(epochs=20), processes=2")
    deadline = time.monotonic() + 60
    while processes_of(folder) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not processes_of(folder)

    resumed = train(tiny_model, folder, run, processes=2)
    assert resumed["losses"] == pytest.approx(unbroken["losses"], rel=1e-4)
    assert resumed["n_steps"] == unbroken["n_steps"] == 60
    torch.testing.assert_close(tensors(folder), tensors(tmp_path / "one"), atol=1e-4, rtol=0)


def processes_of(folder: Path) -> list[str]:
    """The command lines of all processes that name `folder`."""
    import psutil

    lines = [" ".join(p.info["cmdline"] or []) for p in psutil.process_iter(["cmdline"])]
    return [line for line in lines if str(folder) in line]


# Resuming after a kill

# Long enough that the kill comes before the end: 20 epochs of 3 steps.
LONG = with_settings(epochs=20)
CHILD = """
import sys
from pathlib import Path
sys.path[:0] = {tests!r}
from test_finetuning import LONG, train, with_settings
train(Path({base!r}), Path({folder!r}), {arguments})
"""


def kill_at_step_4(base: Path, folder: Path, arguments: str) -> None:
    """Call `train` in a process of its own, which is killed once checkpoint 4 is there."""
    tests = [str(Path(__file__).parent), str(ROOT / "tests")]
    code = CHILD.format(tests=tests, base=str(base), folder=str(folder), arguments=arguments)
    said = folder.with_suffix(".log")
    with said.open("w") as log:
        child = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stdout=log, stderr=log)
        deadline = time.monotonic() + 240
        while child.poll() is None and time.monotonic() < deadline:
            if (folder / "work" / "checkpoint-4" / "trainer_state.json").exists():
                break
            time.sleep(0.005)
        child.send_signal(signal.SIGKILL)
        child.wait()
    assert child.returncode == -signal.SIGKILL, said.read_text()
    assert not (folder / "adapter").exists()


def test_a_killed_run_resumes_to_the_same_weights(tiny_model: Path, tmp_path: Path) -> None:
    """To the byte: the checkpoint holds optimizer, schedule, order of examples and randomness."""
    unbroken = train(tiny_model, tmp_path / "unbroken", LONG)

    folder = tmp_path / "broken"
    kill_at_step_4(tiny_model, folder, "LONG")
    steps = [int(p.name.split("-")[1]) for p in (folder / "work").glob("checkpoint-*")]
    assert steps and max(steps) < 60

    resumed = train(tiny_model, folder, LONG)
    assert weights(folder) == weights(tmp_path / "unbroken")
    assert resumed == unbroken


def test_a_base_that_lost_a_tensor_is_not_filled_with_noise(
    tiny_model: Path, tmp_path: Path
) -> None:
    from safetensors.torch import load_file, save_file

    base = shutil.copytree(tiny_model, tmp_path / "base")
    held = load_file(base / "model.safetensors")
    del held["model.layers.0.mlp.up_proj.weight"]
    save_file(held, base / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(HeirloomError, match=r"no weights for model\.layers\.0\.mlp\.up_proj"):
        train(base, tmp_path)
    (base / "model.safetensors").write_bytes(b"")
    with pytest.raises(HeirloomError, match=r"base in .* could not be loaded"):
        train(base, tmp_path)


def test_a_finished_step_is_not_done_again(
    tiny_model: Path, trained: tuple[Path, Record], tmp_path: Path
) -> None:
    """A loss that is forged in the last checkpoint comes back, and the steps before it do."""
    train(tiny_model, tmp_path)
    state = tmp_path / "work" / "checkpoint-6" / "trainer_state.json"
    forged = read_json(state)
    forged["log_history"][0]["loss"] = 123.0
    write_json(state, forged)
    again = train(tiny_model, tmp_path)
    assert again["losses"] == [123.0, *trained[1]["losses"][1:]]
    assert weights(tmp_path) == weights(trained[0])


def test_an_incomplete_checkpoint_is_ignored(
    tiny_model: Path, trained: tuple[Path, Record], tmp_path: Path
) -> None:
    """Killed while writing checkpoint 6: its state, written last, is not there."""
    train(tiny_model, tmp_path)
    newest = tmp_path / "work" / "checkpoint-6"
    (newest / "trainer_state.json").unlink()
    (newest / "adapter_model.safetensors").write_bytes(b"half")
    assert train(tiny_model, tmp_path) == trained[1]
    assert weights(tmp_path) == weights(trained[0])


def test_half_a_checkpoint_state_is_ignored(
    tiny_model: Path, trained: tuple[Path, Record], tmp_path: Path
) -> None:
    train(tiny_model, tmp_path)
    state = tmp_path / "work" / "checkpoint-6" / "trainer_state.json"
    state.write_text(state.read_text()[:100])
    assert train(tiny_model, tmp_path) == trained[1]
    assert weights(tmp_path) == weights(trained[0])


@pytest.mark.parametrize("what", ["recipe", "examples"])
def test_another_run_does_not_resume_from_these_checkpoints(
    tiny_model: Path, tmp_path: Path, what: str
) -> None:
    run = with_settings(learning_rate=2e-3) if what == "recipe" else RUN
    examples = EXAMPLES[:9] if what == "examples" else EXAMPLES
    train(tiny_model, tmp_path / "mixed")
    mixed = train(tiny_model, tmp_path / "mixed", run, examples)
    fresh = train(tiny_model, tmp_path / "fresh", run, examples)
    assert mixed == fresh
    assert weights(tmp_path / "mixed") == weights(tmp_path / "fresh")
