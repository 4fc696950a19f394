"""Complete prompts with any model, run here by a back end or served by an endpoint."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from heirloom.fetch.notes import locate, trusts_code
from heirloom.generate import endpoint as endpoints
from heirloom.generate.backends import BACKENDS, Backend
from heirloom.generate.endpoint import RemoteModel, remote_model
from heirloom.generate.model import AUTO, Engine, LanguageModel, load_model, load_shape
from heirloom.generate.reasoning import apart, ends_inside, together
from heirloom.generate.request import Prompt, Request
from heirloom.generate.templates import PromptTemplate
from heirloom.support.errors import HeirloomError
from heirloom.support.files import Record


def open_model(
    note: str | Path,
    *,
    name: str,
    prompt_template: PromptTemplate,
    adapter: str | Path | None = None,
    dtype: str = "auto",
    engine: Engine = AUTO,
    only_generates: bool = False,
) -> LanguageModel | RemoteModel:
    """Open the model that a note of the fetch stage describes.

    Args:
        note: The note. One of an endpoint needs no more than name and template.
        name: The model's name in the study.
        prompt_template: Its prompt template.
        adapter: As in `load_model`, and so is `dtype`.
        dtype: Number format.
        engine: Back end and weights to generate with.
        only_generates: The model is used for nothing else, so that weights which the back end reads
            itself are not loaded here.

    Raises:
        HeirloomError: A file is missing or damaged, or the back end cannot run here.
    """
    remote = remote_model(note, name=name, prompt_template=prompt_template)
    if remote is not None:
        return remote
    backend = require(engine)
    if only_generates and backend.loads_weights and adapter is None:
        return load_shape(
            locate(note), name=name, prompt_template=prompt_template, dtype=dtype, engine=engine
        )
    return load_model(
        locate(note),
        name=name,
        prompt_template=prompt_template,
        adapter=adapter,
        dtype=dtype,
        engine=engine,
        trust_remote_code=trusts_code(note),
    )


def require(engine: Engine) -> Backend:
    """Return a back end that can run here.

    Raises:
        HeirloomError: It cannot, or not with these weights.
    """
    backend = BACKENDS.get(engine.backend)
    if engine.weights not in backend.weights:
        others = [name for name in BACKENDS.names() if engine.weights in BACKENDS.get(name).weights]
        raise HeirloomError(
            f"generate.weights: {engine.weights} is not possible with generate.backend: "
            f"{engine.backend}: set backend to {' or '.join(others)}, or weights to "
            f"{' or '.join(backend.weights)}."
        )
    backend.require(engine.weights)
    return backend


def identity(model: LanguageModel | RemoteModel) -> Mapping[str, str]:
    """Return what determines a model's completions apart from model, prompts and request.

    For `auto` this may convert the model, which takes seconds.
    """
    if isinstance(model, RemoteModel):
        return model.identity
    return BACKENDS.get(model.engine.backend).identity(model)


def generate(
    model: LanguageModel | RemoteModel,
    prompts: Sequence[Prompt],
    request: Request,
    *,
    work: Path,
    shard: int = 0,
    shards: int = 1,
) -> list[Record]:
    """Complete prompts, resuming where an earlier call with the same `work` folder was killed.

    Back ends and endpoints return texts as models write them; their reasoning is told from the
    answer here, for all alike.

    Args:
        model: The model to sample from.
        prompts: Prompts with distinct ids.
        request: Number of samples, length, sampling and seed.
        work: Folder for finished parts, the same for all shards. A folder of another request, model
            or set of prompts is emptied first. While it exists, the same call generates nothing
            again, whatever the number of shards. Completions from an endpoint are stored
            elsewhere, see `RemoteModel`.
        shard: Number of the shard to compute, from 0.
        shards: Number of shards.

    Returns:
        One record per completion with the fields of `Completion`, ordered by the prompts given and
        then by sample number.

    Raises:
        HeirloomError: The back end cannot run here, or the endpoint refuses or is dead.
    """
    if isinstance(model, RemoteModel):
        made = endpoints.generate(model, prompts, request, shard=shard, shards=shards)
    else:
        backend = require(model.engine)
        made = backend.generate(model, prompts, request, work=work, shard=shard, shards=shards)
    found = {(completion.prompt_id, completion.sample): completion for completion in made}
    read = together if model.prompt_template.reasoning == "keep" else apart
    opens = isinstance(model, RemoteModel) and any(ends_inside(c.completion or "") for c in made)
    records = []
    for prompt in prompts:
        own = [found[prompt.id, n] for n in range(request.samples) if (prompt.id, n) in found]
        inside = bool(own) and model.begins_inside(prompt.text, request.format)
        for completion in own:
            # A server's template is not known here. If other completions end a block that they do
            # not begin, it opens the block, and one that was truncated earlier is all reasoning.
            cut = opens and completion.finish_reason == "length"
            records.append(read(completion, inside=inside or cut).record())
    return records
