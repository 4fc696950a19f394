"""Models for the tests: a tiny random one, made here in a second, and SmolLM2 itself."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from tiny import tiny_network

if TYPE_CHECKING:
    from heirloom.generate.model import LanguageModel

ROOT = Path(__file__).resolve().parents[1]

# ChatML with a BOS of its own in front, so that a second one would show.
CHAT_TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}<|im_start|>{{ message['role'] }}\n"
    "{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the files that take longest first, so that all processes are busy to the end."""

    def place(item: pytest.Item) -> int:
        if item.path.name == "test_slurm.py":
            return 0
        return 1 if item.path.parent.name == "workflow" else 2

    items.sort(key=place)  # stable: otherwise the order stays


@pytest.fixture(scope="session")
def root() -> Path:
    """The repository's root."""
    return ROOT


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a random llama with 300 tokens and a context of 256. Never change it."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    folder = tmp_path_factory.mktemp("models") / "tiny"
    lines = (ROOT / "resources/prompts/instructions.jsonl").read_text(encoding="utf-8").splitlines()
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    special = ["<pad>", "<s>", "<|im_start|>", "<|im_end|>"]
    # 256 bytes, 4 special tokens and 40 merges.
    trainer = trainers.BpeTrainer(
        vocab_size=300,
        special_tokens=special,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator((json.loads(line)["instruction"] for line in lines), trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A", special_tokens=[("<s>", tokenizer.token_to_id("<s>"))]
    )
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<s>", eos_token="<|im_end|>", pad_token="<pad>"
    )
    fast.chat_template = CHAT_TEMPLATE
    fast.save_pretrained(folder)

    tiny_network(
        tie_word_embeddings=False,
        bos_token_id=fast.bos_token_id,
        eos_token_id=fast.eos_token_id,
        pad_token_id=fast.pad_token_id,
    ).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def load_tiny(tiny_model: Path) -> Callable[..., "LanguageModel"]:
    """Load the tiny model in float32, with 30 end tokens, so that its texts end at many steps.

    Without its weights where the back end reads them itself.
    """
    from heirloom.generate.backends import BACKENDS
    from heirloom.generate.model import Engine, load_model, load_shape
    from heirloom.generate.templates import PromptTemplate

    def load(backend: str, weights: Any = "model") -> "LanguageModel":
        make = load_shape if BACKENDS.get(backend).loads_weights else load_model
        model = make(
            tiny_model,
            name="tiny",
            prompt_template=PromptTemplate(),
            dtype="float32",
            engine=Engine(backend, weights),
        )
        model.network.generation_config.eos_token_id = [3, *range(270, 299)]
        return model

    return load


@pytest.fixture(scope="session")
def study_data() -> Callable[[str], Path]:
    """Where a data set or the artefact of a model of the default study is, by name."""
    import yaml

    from heirloom.fetch.cache import cache_root
    from heirloom.fetch.downloads import fetch
    from heirloom.fetch.settings import read_sources
    from heirloom.support.errors import HeirloomError

    study = yaml.safe_load((ROOT / "config/config.yaml").read_text(encoding="utf-8"))

    def fetched(name: str) -> Path:
        described = {**study["data"], **study["models"]}[name]["sources"]
        sources = read_sources(described)
        try:
            return fetch(sources, name=name, cache=cache_root())
        except HeirloomError as error:
            pytest.skip(f"{name} cannot be fetched: {error}")

    return fetched


@pytest.fixture(scope="session")
def smollm2(study_data: Callable[[str], Path]) -> Path:
    """The folder of SmolLM2-135M-Instruct, from the cache or from where the study gets it."""
    from heirloom.fetch.cache import cache_root
    from heirloom.fetch.gguf import prepare_model

    return prepare_model(study_data("smollm2"), name="smollm2", cache=cache_root())


@pytest.fixture
def first_rows(tmp_path: Path) -> Callable[[Path, int], Path]:
    """Writes the first rows of an .arrow file to another one."""

    def cut(path: Path, rows: int) -> Path:
        import pyarrow

        with path.open("rb") as source:
            table = pyarrow.ipc.open_stream(source).read_all().slice(0, rows)
        short = tmp_path / "first.arrow"
        with (
            pyarrow.OSFile(str(short), "wb") as sink,
            pyarrow.ipc.new_stream(sink, table.schema) as writer,
        ):
            writer.write_table(table)
        return short

    return cut
