"""Prompts for the tests of generation, and models whose completions tell their tokens exactly."""

from pathlib import Path
from typing import Any

from heirloom.generate.model import Engine, LanguageModel, load_model
from heirloom.generate.request import Prompt, Request, Sampling
from heirloom.generate.templates import PromptTemplate

GREEDY = Sampling(temperature=0)
WRITING = Sampling(top_k=10)
N_WORDS = 93

# Of 1 to 30 tokens and in no order of length: w000 w001 w002 ... after one another.
LENGTHS = (9, 1, 14, 3, 30, 20)
SPELLED = [
    Prompt(f"p{n}", " ".join(f"w{(7 * n + 5 * i) % N_WORDS:03d}" for i in range(n)))
    for n in LENGTHS
]
QUESTIONS = [
    Prompt(f"q{i}", text)
    for i, text in enumerate(
        [
            "Name a colour.",
            "Suggest five names for a small bakery that specialises in sourdough bread.",
            "Why?",
            "Think of a few ways to reuse empty glass jars around the home.",
            "List three birds.",
            "What is the capital of France, and how many people live there?",
            "Write a haiku.",
        ]
    )
]
SAMPLED = Request(samples=5, max_new_tokens=24, sampling=Sampling(1.0, 50), seed=17, batch_size=80)

SIZES: dict[str, Any] = {
    "vocab_size": N_WORDS + 3,
    "max_position_embeddings": 64,
    "initializer_range": 0.3,
    "tie_word_embeddings": False,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
# Two layers that see 8 tokens back and one that sees all, as in Gemma 3.
GEMMA3: dict[str, Any] = {
    "num_hidden_layers": 3,
    "layer_types": ["sliding_attention", "sliding_attention", "full_attention"],
}


def save_spelled(network: Any, folder: Path) -> None:
    """Save a model with a tokenizer of whole words, so that a text tells its tokens exactly."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    special = ["<pad>", "<s>", "</s>"]
    vocabulary = [*special, *(f"w{i:03d}" for i in range(N_WORDS))]
    tokenizer = Tokenizer(
        models.WordLevel({word: i for i, word in enumerate(vocabulary)}, unk_token="<pad>")
    )
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>", pad_token="<pad>"
    ).save_pretrained(folder)
    # The special tokens' logits are 0, and there is always a word above that: none is written.
    network.lm_head.weight.data[: len(special)] = 0
    network.save_pretrained(folder)


def load_spelled(
    folder: Path, engine: Engine, stop: tuple[str, ...] = (), dtype: str = "float32"
) -> LanguageModel:
    """Load such a model, its prompts bare."""
    template = PromptTemplate("{prompt}", stop)
    return load_model(folder, name="x", prompt_template=template, dtype=dtype, engine=engine)
