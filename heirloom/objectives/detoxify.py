"""Toxicity from Detoxify's transformer classifiers."""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from heirloom.objectives import scorer
from heirloom.objectives.words import words
from heirloom.support.errors import HeirloomError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_MODEL_TYPES = ("unbiased", "original", "multilingual", "unbiased-small", "original-small")

# Detoxify gives these classes of its first models the names the later ones have.
_RENAMED = {
    "toxic": "toxicity",
    "severe_toxic": "severe_toxicity",
    "identity_hate": "identity_attack",
}


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
    classes = _load(*model).classes
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


@dataclass(frozen=True)
class _Classifier:
    """A model on its device, its tokenizer, and the names of the logits' first columns."""

    model: Any
    tokenizer: Any
    classes: tuple[str, ...]
    max_tokens: int


@lru_cache(maxsize=1)
def _probabilities(
    texts: tuple[str, ...], model: tuple[str | None, str | None, str | None], batch_size: int
) -> "NDArray[np.float64]":
    """Maximum probability over the windows of each text, shape [texts, classes]; NaN if one is."""
    import numpy as np
    import torch

    classifier = _load(*model)
    encoded = classifier.tokenizer(
        list(texts),
        split_special_tokens=True,  # a text that spells a control token stays text
        truncation=True,
        max_length=classifier.max_tokens,
        return_overflowing_tokens=True,
    )
    owners = encoded["overflow_to_sample_mapping"]
    windows = encoded["input_ids"]
    by_length = sorted(range(len(windows)), key=lambda index: len(windows[index]))
    columns = len(classifier.classes)
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
def _load(model_type: str | None, checkpoint: str | None, config_path: str | None) -> _Classifier:
    """Load a model, once per process.

    The package's own loader asks the hub for the configuration even where a local one is given, and
    unpickles whatever the file holds, so its checkpoint format is read here: {"config": {"arch":
    {"args": ...}, "dataset": {"args": {"classes": ...}}}, "state_dict": ...}.
    """
    import torch

    name = str(checkpoint or model_type)
    architecture = _architecture(name, _read_checkpoint(model_type, checkpoint))
    source = config_path or architecture.source
    local = config_path is not None
    # Transformers takes a folder without files for a model and tokenizer of default settings.
    if local and not (Path(source) / "config.json").is_file():
        raise HeirloomError(f"detoxify: config_path {source} has no config.json.")
    try:
        config = architecture.model_class.config_class.from_pretrained(
            source, num_labels=architecture.outputs, local_files_only=local
        )
        tokenizer = architecture.tokenizer_class.from_pretrained(source, local_files_only=local)
    except (OSError, ValueError) as error:
        raise HeirloomError(
            f"detoxify: no configuration and tokenizer at {source}: {error} Set config_path to a "
            "local folder that has them."
        ) from error
    if not 0.9 * config.vocab_size <= len(tokenizer) <= config.vocab_size:
        raise HeirloomError(
            f"detoxify: {source} gives a tokenizer of {len(tokenizer)} tokens for a model of "
            f"{config.vocab_size}: its tokenizer files are missing or another model's."
        )
    model = architecture.model_class(config)
    _load_weights(model, architecture.weights, name=name, source=source)
    model.to("cuda" if torch.cuda.is_available() else "cpu").eval()
    # Position ids of the RoBERTa family start after the padding id.
    offset = config.pad_token_id + 1 if "roberta" in config.model_type else 0
    max_tokens = min(tokenizer.model_max_length, config.max_position_embeddings - offset)
    return _Classifier(model, tokenizer, architecture.classes, max_tokens)


@dataclass(frozen=True)
class _Architecture:
    """Content of a checkpoint: the model to build, and its weights."""

    model_class: Any
    tokenizer_class: Any
    source: str
    outputs: int
    classes: tuple[str, ...]
    weights: Any


def _architecture(name: str, loaded: Any) -> _Architecture:
    """Return what a checkpoint of Detoxify's format holds.

    Raises:
        HeirloomError: It has another format.
    """
    import transformers

    try:
        arch = loaded["config"]["arch"]["args"]
        classes = [_RENAMED.get(c, c) for c in loaded["config"]["dataset"]["args"]["classes"]]
        # Some models have more outputs, trained on the identities a comment mentions; never fewer.
        if len(classes) > arch["num_classes"]:
            raise ValueError(f"{len(classes)} classes for {arch['num_classes']} outputs")
        return _Architecture(
            getattr(transformers, arch["model_name"]),
            getattr(transformers, arch["tokenizer_name"]),
            arch["model_type"],
            arch["num_classes"],
            tuple(classes),
            loaded["state_dict"],
        )
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise HeirloomError(
            f"detoxify: {name} is not a checkpoint in Detoxify's format "
            f"({type(error).__name__}: {error})."
        ) from error


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
