"""Tokenizers and templates that no job could use are refused when a model is fetched."""

import shutil
from pathlib import Path
from typing import Any

import pytest
from tiny import tiny_network
from transformers import PreTrainedTokenizerFast

from heirloom.finetune.launch import Base, Folders, finetune
from heirloom.finetune.settings import Finetune, Run
from heirloom.generate.model import load_model, load_tokenizer
from heirloom.generate.model_checks import Checks
from heirloom.generate.templates import PromptTemplate
from heirloom.support.errors import HeirloomError

CHAT = {"template": "chat", "stop": ()}
OWN = {"template": "Question: {prompt}", "stop": ()}


@pytest.fixture
def folder(tiny_model: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_model, tmp_path / "model"))


def check(folder: Path, template: Any = CHAT) -> None:
    Checks.read("mine", template, trust_remote_code=False, gpu=False)(folder)


def save(folder: Path, chat_template: str | None) -> None:
    tokenizer = load_tokenizer(folder)
    tokenizer.chat_template = chat_template
    (folder / "chat_template.jinja").unlink()
    tokenizer.save_pretrained(folder)


def test_a_sound_model_passes(folder: Path) -> None:
    for template in (CHAT, OWN, None):
        check(folder, template)


def forget_eos(folder: Path) -> None:
    own = load_tokenizer(folder)
    bare = PreTrainedTokenizerFast(tokenizer_object=own.backend_tokenizer, bos_token="<s>")
    bare.chat_template = own.chat_template
    bare.save_pretrained(folder)


def test_a_base_without_eos_and_padding(folder: Path, tmp_path: Path) -> None:
    forget_eos(folder)
    with pytest.raises(HeirloomError, match=r"model 'mine'.*no EOS token.*`eos_token`"):
        check(folder, OWN)
    with pytest.raises(HeirloomError, match=r"'mine'.*no EOS token"):
        load_model(folder, name="mine", prompt_template=PromptTemplate())
    row = {"prompt": "a", "completion": "b", "finish_reason": "stop"}
    run, folders = Run(Finetune(), 0), Folders(tmp_path / "work", tmp_path / "student")
    with pytest.raises(HeirloomError, match="no EOS token"):
        finetune(Base(folder), [row], "instruction", run, folders)


@pytest.mark.parametrize(
    ("template", "said"),
    [
        ("{{ raise_exception('a system message comes first') }}", "a system message comes first"),
        ("{% for m in messages %}{{ m['content'] }}", "TemplateSyntaxError"),
        ("{{ messages[1]['content'].strip() }}", "UndefinedError"),
        (None, "no chat template"),
    ],
)
def test_a_chat_template_that_fails(folder: Path, template: str | None, said: str) -> None:
    save(folder, template)
    with pytest.raises(HeirloomError, match=rf"model 'mine'.*{said}.*`template:`"):
        check(folder)
    check(folder, OWN)  # the study brings its own
    check(folder, None)


def test_more_tokens_than_the_embedding_has_rows(folder: Path) -> None:
    tokenizer = load_tokenizer(folder)
    tokenizer.add_tokens(["<extra>"])  # number 300, of rows 0 to 299
    tokenizer.save_pretrained(folder)
    with pytest.raises(HeirloomError, match=r"model 'mine'.*301 tokens.*300.*'<extra>'"):
        check(folder)
    with pytest.raises(HeirloomError, match=r"'mine'.*301 tokens"):
        load_model(folder, name="mine", prompt_template=PromptTemplate())


def test_fewer_rows_than_tokens(folder: Path) -> None:
    tiny_network(vocab_size=299, tie_word_embeddings=False).save_pretrained(folder)
    with pytest.raises(HeirloomError, match=r"300 tokens.*299"):
        check(folder)


def test_a_placeholder_of_images_needs_no_row(folder: Path) -> None:
    """As in Gemma 3's models for text alone; a text that spells it stays text."""
    own = load_tokenizer(folder)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=own.backend_tokenizer,
        **own.special_tokens_map,
        image_token="<image_soft_token>",
    )
    assert len(tokenizer) == 301
    tokenizer.chat_template = own.chat_template
    tokenizer.save_pretrained(folder)
    check(folder)
    model = load_model(folder, name="mine", prompt_template=PromptTemplate(), dtype="float32")
    assert max(model.encode_prompt("<image_soft_token>", "instruction")) < 300


def test_a_tokenizer_that_cannot_be_read(folder: Path) -> None:
    (folder / "tokenizer.json").write_text("{")
    with pytest.raises(HeirloomError, match=r"model 'mine' cannot be used"):
        check(folder)
