"""Toxicity from Detoxify's transformer classifiers.

`detoxify.Detoxify` holds model, tokenizer and class names. By hand are, with the reason:

- Reading a checkpoint: the package unpickles whatever the file holds, code too. It gets a
  checkpoint without weights, made here of what was read as tensors and plain values alone.
- Where configuration and tokenizer are read from: the package asks the hub for the configuration
  even if it is given a local folder, so the checkpoint that it gets names that folder.
- Loading the weights: the package leaves those that a checkpoint lacks at random.
- Prediction: `Detoxify.predict` is one forward pass over all texts and truncates the long ones.
  Here there are windows and batches, and a text without words is null.
"""

from functools import lru_cache
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from heirloom.objectives import scorer
from heirloom.objectives.words import words
from heirloom.support.errors import HeirloomError

if TYPE_CHECKING:
    import numpy as np
    from detoxify import Detoxify
    from numpy.typing import NDArray

_MODEL_TYPES = ("unbiased", "original", "multilingual", "unbiased-small", "original-small")


@scorer(
    "detoxify",
    label="Toxicity (Detoxify)",
    unit="probability",
    direction="lower",
    needs=("detoxify",),
    parameters=125_000_000,
    offensive=True,
)
def detoxify(
    texts: list[str],
    *,
    model_type: str = "unbiased",
    attribute: str = "toxicity",
    checkpoint: str | None = None,
    config_path: str | None = None,
    batch_size: int = 32,
) -> list[float | None]:
    """Probability that a text is toxic: the maximum over its windows of tokens.

    L. Hanu and Unitary team (2020), Detoxify, https://github.com/unitaryai/detoxify. A text longer
    than the model's input is scored in windows, and its score is their maximum; `Detoxify.predict`
    itself truncates it and scores the start. Batches hold windows of similar length, on the GPU if
    there is one. One pass gives all attributes: those of the last texts are cached.

    Args:
        texts: Texts to score.
        model_type: The published model to download: "unbiased", "original" or "multilingual", the
            former two also as "...-small". Not used with `checkpoint`.
        attribute: The class whose probability is the score: "toxicity", "severe_toxicity",
            "obscene", "threat", "insult", "identity_attack" or, not of the two "original" models,
            "sexual_explicit".
        checkpoint: A local file in Detoxify's format, such as the published one. Only tensors and
            plain values are read from it: none of its code can run.
        config_path: A local folder with the model's config.json and tokenizer files. Without it
            both come from the hub id that the checkpoint names. Set both to work offline.
        batch_size: Windows per forward pass.

    Returns:
        Probabilities in [0, 1]; None for a text without words.

    Raises:
        HeirloomError: An option has an invalid value, or the files cannot be had or do not fit
            together.
    """
    if batch_size < 1:
        raise HeirloomError(f"detoxify: batch_size must be at least 1, but is {batch_size}.")
    if model_type not in _MODEL_TYPES:
        raise HeirloomError(
            f"detoxify: there is no model_type {model_type!r}; choose one of "
            f"{', '.join(_MODEL_TYPES)}."
        )
    scored = [index for index, text in enumerate(texts) if words(text)]
    if not scored:
        return [None] * len(texts)
    model = (None if checkpoint else model_type, checkpoint, config_path)
    classes = _load(*model).class_names
    if attribute not in classes:
        raise HeirloomError(
            f"detoxify: the model has no attribute {attribute!r}; it has {', '.join(classes)}."
        )
    probabilities = _probabilities(tuple(texts[index] for index in scored), model, batch_size)
    scores: list[float | None] = [None] * len(texts)
    for index, probability in zip(
        scored, probabilities[:, classes.index(attribute)].tolist(), strict=True
    ):
        scores[index] = probability
    return scores


@lru_cache(maxsize=1)
def _probabilities(
    texts: tuple[str, ...], model: tuple[str | None, str | None, str | None], batch_size: int
) -> "NDArray[np.float64]":
    """Maximum probability over the windows of each text, shape [texts, classes]; NaN if one is."""
    import numpy as np
    import torch

    classifier = _load(*model)
    max_tokens = _max_tokens(classifier)
    encoded = classifier.tokenizer(
        list(texts),
        split_special_tokens=True,  # a text that spells a control token stays text
        truncation=True,
        max_length=max_tokens,
        return_overflowing_tokens=True,
    )
    owners = encoded["overflow_to_sample_mapping"]
    windows = encoded["input_ids"]
    by_length = sorted(range(len(windows)), key=lambda index: len(windows[index]))
    columns = len(classifier.class_names)
    probabilities = np.empty((len(windows), columns))
    for start in range(0, len(by_length), batch_size):
        batch = by_length[start : start + batch_size]
        inputs = classifier.tokenizer.pad(
            {"input_ids": [windows[index] for index in batch]}, return_tensors="pt"
        ).to(classifier.model.device)
        with torch.inference_mode():
            logits = classifier.model(**inputs).logits
        probabilities[batch] = torch.sigmoid(logits[:, :columns].float()).cpu().numpy()
    maxima = np.zeros((len(texts), columns))
    with np.errstate(invalid="ignore"):  # a NaN stays one, and becomes null
        np.maximum.at(maxima, owners, probabilities)
    return maxima


@lru_cache(maxsize=1)
def _load(model_type: str | None, checkpoint: str | None, config_path: str | None) -> "Detoxify":
    """Load a model, once per process, on the GPU if there is one.

    Raises:
        HeirloomError: The files cannot be had or do not fit together.
    """
    import torch
    from detoxify import Detoxify
    from transformers.utils.logging import get_verbosity, set_verbosity, set_verbosity_error

    name = str(checkpoint or model_type)
    loaded = _read_checkpoint(model_type, checkpoint)
    # Transformers takes a folder without files for a model and tokenizer of default settings.
    if config_path is not None and not (Path(config_path) / "config.json").is_file():
        raise HeirloomError(f"detoxify: config_path {config_path} has no config.json.")
    verbosity = get_verbosity()
    set_verbosity_error()  # of weights that are missing, which are loaded below
    try:
        source = config_path or loaded["config"]["arch"]["args"]["model_type"]
        classifier = Detoxify(
            checkpoint=_without_weights(loaded, source),
            device="cuda" if torch.cuda.is_available() else "cpu",
        )
        classes, outputs = len(classifier.class_names), classifier.model.config.num_labels
        # Some models have more outputs, trained on the identities a comment mentions; never fewer.
        if classes > outputs:
            raise ValueError(f"{classes} classes for {outputs} outputs")
        weights = loaded["state_dict"]
    except OSError as error:
        raise HeirloomError(
            f"detoxify: no configuration and tokenizer at {source}: {error} Set config_path to a "
            "local folder that has them."
        ) from error
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise HeirloomError(
            f"detoxify: {name} is not a checkpoint in Detoxify's format "
            f"({type(error).__name__}: {error})."
        ) from error
    finally:
        set_verbosity(verbosity)
    vocabulary, tokens = classifier.model.config.vocab_size, len(classifier.tokenizer)
    if not 0.9 * vocabulary <= tokens <= vocabulary:
        raise HeirloomError(
            f"detoxify: {source} gives a tokenizer of {tokens} tokens for a model of "
            f"{vocabulary}: its tokenizer files are missing or another model's."
        )
    _load_weights(classifier.model, weights, name=name, source=source)
    classifier.model.eval()
    return classifier


def _without_weights(loaded: Any, source: str) -> BytesIO:
    """Return a checkpoint in Detoxify's format: no weights, and its files are read from `source`.

    {"config": {"arch": {"args": ...}, "dataset": {"args": {"classes": ...}}}, "state_dict": ...}
    """
    import torch

    arch = {"args": {**loaded["config"]["arch"]["args"], "model_type": source}}
    checkpoint = BytesIO()
    torch.save({"config": {**loaded["config"], "arch": arch}, "state_dict": {}}, checkpoint)
    checkpoint.seek(0)
    return checkpoint


def _max_tokens(classifier: "Detoxify") -> int:
    """Tokens of a window, special ones included."""
    config = classifier.model.config
    # Position ids of the RoBERTa family start after the padding id.
    offset = config.pad_token_id + 1 if "roberta" in config.model_type else 0
    return int(min(classifier.tokenizer.model_max_length, config.max_position_embeddings - offset))


def _load_weights(model: Any, weights: Any, *, name: str, source: str) -> None:
    """Load all weights that the model has.

    Raises:
        HeirloomError: They do not fit, or some are missing.
    """
    try:
        # Published checkpoints also hold buffers that transformers no longer keeps: not strict.
        missing = model.load_state_dict(weights, strict=False).missing_keys
    except (RuntimeError, TypeError, AttributeError) as error:  # of another shape, or no tensors
        first = str(error).splitlines()[1:2]
        raise HeirloomError(
            f"detoxify: the weights in {name} do not fit the configuration at "
            f"{source}:{''.join(first)}"
        ) from error
    if missing:
        raise HeirloomError(
            f"detoxify: {name} lacks weights that the configuration at {source} asks for: "
            f"{', '.join(missing[:5])}."
        )


def _read_checkpoint(model_type: str | None, checkpoint: str | None) -> Any:
    """Read a checkpoint without running code that it may contain."""
    import pickle

    import torch

    if checkpoint is not None and not Path(checkpoint).is_file():
        raise HeirloomError(f"detoxify: the checkpoint {checkpoint} does not exist.")
    try:
        if checkpoint is not None:
            return torch.load(checkpoint, map_location="cpu", weights_only=True)
        from detoxify.detoxify import MODEL_URLS

        return torch.hub.load_state_dict_from_url(
            MODEL_URLS[model_type], map_location="cpu", weights_only=True
        )
    except pickle.UnpicklingError as error:
        first = str(error).splitlines()[0]
        raise HeirloomError(
            f"detoxify: {checkpoint or model_type} is damaged, or holds more than tensors and "
            f"plain values ({first}). Reading such a file runs code that it may contain, so it is "
            "not read. If you trust it, load it with torch.load(..., weights_only=False), save its "
            '"config" and "state_dict" alone, and name the new file as checkpoint.'
        ) from error
    except (OSError, EOFError, RuntimeError) as error:
        if checkpoint is not None:
            raise HeirloomError(
                f"detoxify: {checkpoint} cannot be read as a checkpoint: {error}"
            ) from error
        raise HeirloomError(
            f"detoxify: the model {model_type!r} could not be downloaded from "
            f"{MODEL_URLS[model_type]}: {error}. Offline, set checkpoint to a copy of that file "
            "and config_path to a folder with its config.json and tokenizer files."
        ) from error
