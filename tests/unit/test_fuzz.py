"""Random prompt files, endpoint answers and texts: a value, null or a HeirloomError, and no more.

Seeds of what was found stand as examples beside the strategies.
"""

import json
import logging
import math
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from completion_server import CompletionServer, serving
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from loopback import Handler

from heirloom.generate import client
from heirloom.generate.endpoint import RemoteModel, generate
from heirloom.generate.reasoning import split
from heirloom.generate.request import Completion, Prompt, Request, Sampling
from heirloom.generate.settings import Endpoint
from heirloom.generate.templates import PromptTemplate
from heirloom.objectives import SCORERS
from heirloom.objectives.scoring import score
from heirloom.profiling.engines.descriptives import describe
from heirloom.profiling.engines.verdicts import parse_reply
from heirloom.prompts.read import read_prompts
from heirloom.report.user_text import truncated, visible
from heirloom.support.errors import HeirloomError

# 500 cases in all, always the same ones.
FILES, ANSWERS, TEXTS = 200, 60, 240
SETTINGS: dict[str, Any] = {
    "derandomize": True,
    "deadline": None,
    "database": None,
    "suppress_health_check": list(HealthCheck),
}
SURROGATES: Any = {"codec": None}  # st.text with them: what a JSON file may hold

any_text = st.text() | st.text(alphabet=st.characters(**SURROGATES), max_size=40)
any_value = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | any_text,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(any_text, inner, max_size=4),
    max_leaves=10,
)


@pytest.fixture(autouse=True)
def silent() -> Iterator[None]:
    logging.disable(logging.ERROR)
    yield
    logging.disable(logging.NOTSET)


# Prompt files


def as_lines(rows: list[Any]) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


row = st.fixed_dictionaries(
    {"instruction": any_value}, optional={"id": any_value, "input": any_value}
)
rows = st.lists(row, max_size=5)
contents = (
    st.binary(max_size=200)
    | rows.map(as_lines)
    | rows.map(lambda found: json.dumps(found).encode())
    | st.lists(any_text, max_size=6).map(
        lambda cells: ("instruction,id\n" + "\n".join(cells)).encode("utf-8", "replace")
    )
)


@settings(max_examples=FILES, **SETTINGS)
@given(
    content=contents,
    suffix=st.sampled_from([".jsonl", ".json", ".csv", ".tsv", ".txt", ".parquet", ".jsonl.gz"]),
)
@example(content=b'{"instruction": "half \\ud83d"}\n', suffix=".jsonl")
@example(content=b'instruction\n"never closed\nsecond\n', suffix=".csv")
@example(content=b"[" * 100_000, suffix=".json")
def test_any_prompt_file(
    tmp_path_factory: pytest.TempPathFactory, content: bytes, suffix: str
) -> None:
    path = tmp_path_factory.getbasetemp() / f"prompts{suffix}"
    path.write_bytes(content)
    try:
        prompts = read_prompts(path, text="instruction")
    except HeirloomError as error:
        assert path.name in str(error)
        return
    assert prompts
    for prompt in prompts:
        assert prompt["text"].encode() and prompt["id"].encode()


# Endpoint answers

message = any_value | st.fixed_dictionaries(
    {"content": any_value},
    optional={"reasoning_content": any_value, "refusal": any_value, "tool_calls": any_value},
)
choice = any_value | st.fixed_dictionaries(
    {"message": message}, optional={"finish_reason": any_value, "text": any_value}
)
document = any_value | st.fixed_dictionaries(
    {"choices": st.lists(choice, max_size=2)},
    optional={"usage": any_value, "error": any_value, "model": any_value},
)
# 401, 403 and 404 end a job by design: key, right or address are wrong.
statuses = st.sampled_from([200, 200, 200, 400, 413, 422, 429, 451, 500, 503])
replies = st.lists(
    st.tuples(statuses, document.map(lambda d: json.dumps(d).encode()) | st.binary(max_size=80)),
    min_size=2,
    max_size=2,
)


@pytest.fixture(scope="module")
def server() -> Iterator[CompletionServer]:
    with serving() as running:
        yield running


@settings(max_examples=ANSWERS, **SETTINGS)
@given(replies=replies)
def test_any_answer_of_an_endpoint(
    server: CompletionServer,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
    replies: list[tuple[int, bytes]],
) -> None:
    """Three prompts, the last of which is answered well: all have a record, or one message."""
    monkeypatch.setattr(client, "_FIRST_DELAY", 0.001)
    kept = tmp_path_factory.mktemp("kept")
    prompts = [Prompt(str(number), f"Prompt {number}") for number in range(3)]

    def rule(body: Any) -> Callable[[Handler], None] | None:
        number = int(body["messages"][0]["content"].split()[1])
        if number >= len(replies):
            return None
        status, content = replies[number]
        return lambda handler: handler.send(status, content)

    def ask() -> list[Completion]:
        endpoint = Endpoint(
            url=server.url, model="writer", attempts=2, requests=1, max_failed=1, timeout=5
        )
        model = RemoteModel("writer", endpoint, PromptTemplate(), kept)
        request = Request(1, 8, Sampling(temperature=1.0), seed=1)
        return generate(model, prompts, request, shard=0, shards=1)

    server.rule = rule
    try:
        made = ask()
    except HeirloomError as error:
        assert "Traceback" not in str(error)
    else:
        check_records(made)
    server.rule = lambda body: None
    server.answered.clear()
    check_records(ask())  # the same command, once the server is well
    assert len(server.answered) <= 3


def check_records(made: list[Completion]) -> None:
    assert [completion.prompt_id for completion in made] == ["0", "1", "2"]
    for completion in made:
        assert (completion.completion is None) == (
            completion.finish_reason not in ("stop", "length")
        )
        json.dumps(completion.record()).encode()
        (completion.completion or "").encode()


# Texts


@settings(max_examples=TEXTS, **SETTINGS)
@given(text=any_text)
@example(text="." * 64_000)
@example(text="\N{COMBINING ACUTE ACCENT}" * 10_000)
@example(text="<think>" * 100)
@example(text="\x00\x1b[31m\N{RIGHT-TO-LEFT OVERRIDE}\ud83d")
def test_any_text(text: str) -> None:
    for name in SCORERS.names():
        if name in ("detoxify", "tox_block"):  # their weights are not on every machine
            continue
        (value,) = score(name, [text])
        assert value is None or math.isfinite(value), name
    for language in ("en", "fr"):
        assert all(v is None or math.isfinite(v) for v in describe(text, language).values())
    assert len(split(text).answer) <= len(text)
    assert parse_reply(text) in ("A", "B", None)
    visible(text).encode()
    truncated(text, 30).encode()
