"""Let vLLM write: a server of our own on this machine, for as long as texts are missing.

vLLM pins versions of torch and transformers that are not ours, so it runs from an environment of
its own, and what lies between is its OpenAI-compatible server. Prompts are sent as token ids, with
the stop tokens and the seeds that the other back ends have.
"""

import ctypes
import logging
import os
import shlex
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from heirloom.generate import answer_store as answers
from heirloom.generate.client import Answer, Client
from heirloom.generate.settings import Endpoint
from heirloom.support.errors import HeirloomError
from heirloom.support.files import Record, sha256
from heirloom.support.work_folder import claimed

if TYPE_CHECKING:
    from heirloom.generate.model import LanguageModel
    from heirloom.generate.request import Prompt, Request


logger = logging.getLogger(__name__)

#: The environment variable with the command that starts a server; the model's folder and further
#: options are put behind it.
COMMAND = "HEIRLOOM_VLLM"
_START_SECONDS = 3600.0  # the largest models are read from slow disks
_END_SECONDS = 30.0
_ANSWER_SECONDS = 3600.0
_SERVED_AS = "model"
_SET_PARENT_DEATH_SIGNAL = 1  # prctl(2), PR_SET_PDEATHSIG


def command() -> list[str]:
    """How to start a server, up to the model's folder."""
    return shlex.split(os.environ.get(COMMAND, "")) or ["vllm", "serve"]


def installed() -> bool:
    """Whether there is such a command."""
    return shutil.which(command()[0]) is not None


def generate(
    model: "LanguageModel",
    prompts: Sequence["Prompt"],
    request: "Request",
    *,
    work: Path,
    shard: int,
    shards: int,
) -> list[Record]:
    """See `heirloom.generate.loop.generate`. Prompts, and not batches, are divided into shards.

    Raises:
        HeirloomError: vLLM does not start, or ends too early; the message names its log.
    """
    own, share = prompts[shard::shards], f"{shard + 1}-of-{shards}"
    file, log = work / f"answers-{share}.jsonl", work / f"vllm-{share}.log"
    encoded = {prompt.id: model.encode_prompt(prompt.text, request.format) for prompt in prompts}
    room = model.context_length - request.max_new_tokens
    identity = {
        "code": [sha256(str(module)) for module in (__file__, answers.__file__)],
        "model": str(model.network.name_or_path),
        "adapter": model.adapter_sha256,
        "dtype": str(model.network.dtype),
        "stop": [model.prompt_template.stop, sorted(model.end_tokens)],
        "request": answers.decisive(request),
        "prompts": encoded,
    }
    made: dict[answers.Key, Answer] = {}
    asked: dict[answers.Key, dict[str, Any]] = {}
    with claimed(work, identity, share=share):
        kept = answers.read_answers(sorted(work.glob("answers-*.jsonl")))
        for prompt in own:
            too_long = len(encoded[prompt.id]) > room
            if too_long:
                logger.warning("prompt %s exceeds the context of %s", prompt.id, model.name)
            for key in answers.keys(prompt, request):
                if too_long:
                    made[key] = Answer("", 0, "too_long", tokens=[])
                elif key in kept:
                    made[key] = kept[key]
                else:
                    asked[key] = _body(model, encoded[prompt.id], key, request)
        if asked:
            longest = max(len(body["prompt"]) for body in asked.values()) + request.max_new_tokens
            with _served_folder(model) as folder, _serving(folder, model, longest, log) as url:
                client = Client(
                    Endpoint(
                        url=url,
                        model=_SERVED_AS,
                        requests=request.batch_size,
                        timeout=_ANSWER_SECONDS,
                        attempts=3,
                    )
                )
                try:
                    made |= answers.ask(client, "completions", asked, file)
                except HeirloomError as error:
                    raise HeirloomError(f"{error} What vLLM says is in {log}.") from error
    return [
        _record(model, encoded[prompt.id], key, made[key], request)
        for prompt in own
        for key in answers.keys(prompt, request)
    ]


def _body(
    model: "LanguageModel", prompt: list[int], key: answers.Key, request: "Request"
) -> dict[str, Any]:
    return {
        "prompt": prompt,
        "max_tokens": request.max_new_tokens,
        "stop": list(model.prompt_template.stop),
        "stop_token_ids": sorted(model.end_tokens),
        "return_token_ids": True,
        **answers.sampling_fields(key, request),
        **answers.open_fields(request),
    }


def _record(
    model: "LanguageModel",
    prompt: list[int],
    key: answers.Key,
    answer: Answer,
    request: "Request",
) -> Record:
    """The completion, its text made from its tokens as the other back ends do it."""
    if answer.tokens is None:
        raise HeirloomError(
            "vLLM gave no tokens with its texts: it is too old, or is not vLLM. Look at "
            f"${COMMAND} (config/README.md)."
        )
    return {
        "prompt_id": key[0],
        "sample": key[2],
        "completion": model.decode_completion(prompt, answer.tokens, request.format),
        "n_tokens": len(answer.tokens),
        "finish_reason": answer.finish_reason,
    }


@contextmanager
def _served_folder(model: "LanguageModel") -> Iterator[Path]:
    """The model as a folder: its own, or for a student one with the adapter merged.

    Meanwhile a network on a GPU makes room there.
    """
    device = model.device
    if device.type == "cuda":
        import torch

        model.network.to("cpu")
        torch.cuda.empty_cache()
    try:
        if model.adapter_sha256 is None:
            yield Path(model.network.name_or_path)
        else:
            with tempfile.TemporaryDirectory(prefix="heirloom-merged-") as folder:
                model.network.save_pretrained(folder)
                model.tokenizer.save_pretrained(folder)
                yield Path(folder)
    finally:
        if device.type == "cuda":
            model.network.to(device)


@contextmanager
def _serving(folder: Path, model: "LanguageModel", longest: int, log: Path) -> Iterator[str]:
    """The address of a server of the model, which is gone when the block ends.

    Args:
        folder: Of the weights.
        model: What it is called in messages, and its number format.
        longest: Tokens of the longest prompt with its completion.
        log: File of what it prints.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    options = {
        "--host": "127.0.0.1",
        "--port": str(port),
        "--served-model-name": _SERVED_AS,
        "--dtype": str(model.network.dtype).removeprefix("torch."),
        "--max-model-len": str(longest),
        "--generation-config": "vllm",  # no sampling defaults but our own
    }
    started = [*command(), str(folder), *(word for option in options.items() for word in option)]
    logger.info("starting %s", shlex.join(started))
    with log.open("wb") as output:
        server = subprocess.Popen(
            started,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, "HF_HUB_OFFLINE": "1", "VLLM_NO_USAGE_STATS": "1"},
            start_new_session=True,  # a process group to end as a whole
            preexec_fn=_end_with_parent,
        )
    try:
        _wait_until_ready(url, server, model.name, log)
        yield f"{url}/v1"
    finally:
        _end(server)


def _end_with_parent() -> None:
    """In the server's process: get SIGTERM when ours is killed, and cannot stop it any more."""
    ctypes.CDLL(None).prctl(_SET_PARENT_DEATH_SIGNAL, signal.SIGTERM)


def _wait_until_ready(url: str, server: "subprocess.Popen[bytes]", name: str, log: Path) -> None:
    import requests

    session = requests.Session()
    session.trust_env = False  # no proxy stands between this machine and itself
    deadline = time.monotonic() + _START_SECONDS
    while True:
        with suppress(requests.RequestException):
            if session.get(f"{url}/health", timeout=10).status_code == 200:
                return
        ended = server.poll() is not None
        if ended or time.monotonic() > deadline:
            last = " | ".join(log.read_text(errors="replace").splitlines()[-5:])
            what = "ended before it was ready" if ended else "was not ready in an hour"
            raise HeirloomError(
                f"vLLM {what} to serve {name}; its log, {log}, ends so: {last}. The command that "
                f"starts it is in ${COMMAND}, and may hold options (config/README.md)."
            )
        time.sleep(0.5)


def _end(server: "subprocess.Popen[bytes]") -> None:
    """End the server and the processes that it started."""
    with suppress(ProcessLookupError):
        os.killpg(server.pid, signal.SIGTERM)
    with suppress(subprocess.TimeoutExpired):
        server.wait(_END_SECONDS)
    with suppress(ProcessLookupError):
        os.killpg(server.pid, signal.SIGKILL)
    server.wait()
