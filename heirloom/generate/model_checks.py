"""Checks of a model as it is fetched, so that what is wrong with it shows before any other job."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from heirloom.fetch.artefacts import fetch_model
from heirloom.fetch.settings import Source
from heirloom.generate.model import check_rows, load_tokenizer
from heirloom.generate.templates import PromptTemplate, encode_prompt
from heirloom.generate.tokens import check_control_tokens
from heirloom.support.errors import HeirloomError
from heirloom.support.files import Record


def fetch_checked(
    name: str,
    sources: Sequence[Source],
    note: str | Path,
    *,
    template: Record | None,
    trust_remote_code: bool = False,
) -> None:
    """Fetch a model and check it; its note is written if all is well.

    Args:
        name: As in `fetch_model`, and so are `sources`, `note` and `trust_remote_code`.
        sources: Places that have it.
        note: File for the note.
        template: As in `check_model`.
        trust_remote_code: Allow the Python code of the model to run.

    Raises:
        HeirloomError: It could not be fetched, or no job could use it.
    """
    check = partial(check_model, name=name, template=template, trust_remote_code=trust_remote_code)
    fetch_model(name, sources, note, trust_remote_code=trust_remote_code, check=check)


def check_model(
    folder: Path, *, name: str, template: Record | None, trust_remote_code: bool = False
) -> None:
    """Refuse a model that no job could use.

    Args:
        folder: Folder with config, safetensors weights and tokenizer.
        name: The model's name in the study.
        template: Fields of its `PromptTemplate`; None if it is shown no instructions.
        trust_remote_code: Allow Python code in `folder` to run.

    Raises:
        HeirloomError: The tokenizer cannot be read, has no EOS token or more tokens than the
            embedding has rows, or the template fails. The message names the model.
    """
    from transformers import AutoConfig

    try:
        tokenizer = load_tokenizer(folder, trust_remote_code=trust_remote_code)
        config = AutoConfig.from_pretrained(folder, trust_remote_code=trust_remote_code)
        check_rows(tokenizer, config)
        check_control_tokens(tokenizer)
        if template is not None:
            encode_prompt(tokenizer, PromptTemplate(**template), "Name a colour.", "instruction")
    except HeirloomError as error:
        raise HeirloomError(f"model {name!r} cannot be used: {error}") from error
    except Exception as error:  # of transformers, of tokenizers and of a model's own code
        raise HeirloomError(
            f"model {name!r} cannot be used: its configuration or tokenizer in {folder} could not "
            f"be read ({type(error).__name__}: {error})."
        ) from error
