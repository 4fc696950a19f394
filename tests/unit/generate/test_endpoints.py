"""Models behind an endpoint: what they are asked, what is kept, and what happens when they fail.

The server is a real one on loopback; see test_endpoint_servers.py for those that people use.
"""

import logging
import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest
from completion_server import (
    STOP,
    CompletionServer,
    Fault,
    completion,
    drip,
    drop,
    hang,
    says,
    serving,
    status,
)
from pydantic import ValidationError

from heirloom.generate import client as endpoints
from heirloom.generate.client import Client, EndpointError
from heirloom.generate.completions import generate, open_model
from heirloom.generate.endpoint import RemoteModel, describe_endpoint
from heirloom.generate.request import Prompt, Request, Sampling
from heirloom.generate.settings import Endpoint
from heirloom.generate.templates import PromptTemplate
from heirloom.support.errors import HeirloomError
from heirloom.support.files import Record, write_json

PROMPTS = [Prompt(f"p{n}", f"Name {n} colours.") for n in range(6)]
SECRET = "sk-canary-0123456789"


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endpoints, "_FIRST_DELAY", 0.02)


def request_of(**changes: Any) -> Request:
    values = {"samples": 2, "max_new_tokens": 16, "sampling": Sampling(), "seed": 1}
    return Request(**{**values, **changes})


def model_at(
    url: str, kept: Path, template: PromptTemplate | None = None, **settings: Any
) -> RemoteModel:
    endpoint = Endpoint(**{"url": url, "model": "writer", "timeout": 5, **settings})
    return RemoteModel("writer", endpoint, template or PromptTemplate(), kept)


def write(
    model: RemoteModel,
    request: Request | None = None,
    prompts: list[Prompt] = PROMPTS,
    shard: int = 0,
    shards: int = 1,
) -> list[Record]:
    work = model.kept.parent / "unused"
    done = generate(model, prompts, request or request_of(), work=work, shard=shard, shards=shards)
    assert not work.exists()
    return done


def test_records_are_those_of_every_back_end(server: CompletionServer, tmp_path: Path) -> None:
    model = model_at(server.url, tmp_path / "kept", PromptTemplate(stop=(STOP,)))
    records = write(model)
    assert [(r["prompt_id"], r["sample"]) for r in records] == [
        (p.id, s) for p in PROMPTS for s in (0, 1)
    ]
    assert records[0].keys() == {
        "prompt_id", "sample", "completion", "n_tokens", "finish_reason"
    }  # fmt: skip
    for record in records:  # the server writes eight words and more behind the stop text
        assert len(record["completion"].split()) == 8
        assert record["completion"] == record["completion"].strip()
        assert (record["n_tokens"], record["finish_reason"]) == (9, "stop")
    assert len({r["completion"] for r in records}) == len(records)


def test_what_is_sent(server: CompletionServer, tmp_path: Path) -> None:
    request = request_of(samples=1, sampling=Sampling(0.7, 5, 0.9))
    one = [Prompt("p", "Hi")]
    # sequence_key(1, "p", 0) is the first 8 bytes of sha256("1/p/0"), less a bit; 31 bits are left
    # of its 63: 0xb2... (see the assertion, which computes it anew).
    import hashlib

    seed = int.from_bytes(hashlib.sha256(b"1/p/0").digest()[:4], "big") >> 1
    sampled = {"model": "writer", "temperature": 0.7, "top_p": 0.9, "seed": seed}
    more = {"top_k": 5, "min_p": 0.0, "repetition_penalty": 1.0}
    chat = {"messages": [{"role": "user", "content": "Hi"}]}

    def sent(
        template: PromptTemplate | None = None, format: str = "instruction", **settings: Any
    ) -> Any:
        kept = tmp_path / f"kept{len(server.asked)}"
        changed = request_of(samples=1, sampling=request.sampling, format=format)
        write(model_at(server.url, kept, template, **settings), changed, one)
        path, _, body = server.asked[-1]
        return path, body

    assert sent() == ("/v1/chat/completions", {**sampled, **more, **chat, "max_tokens": 16})
    assert sent(api="openai") == (
        "/v1/chat/completions",
        {**sampled, **chat, "max_completion_tokens": 16},
    )
    # A template is no format string: braces of its own stay.
    assert sent(PromptTemplate("{Q} {prompt} A:", ("\n", STOP))) == (
        "/v1/completions",
        {**sampled, **more, "prompt": "{Q} Hi A:", "stop": ["\n", STOP], "max_tokens": 16},
    )
    assert sent(format="continuation", api="openai") == (
        "/v1/completions",
        {**sampled, "prompt": "Hi", "max_tokens": 16},
    )


def test_a_continuation_keeps_its_leading_space(server: CompletionServer, tmp_path: Path) -> None:
    records = write(model_at(server.url, tmp_path / "kept"), request_of(format="continuation"))
    assert all(r["completion"].startswith(" ") for r in records)


LATER = format_datetime(datetime.now(UTC) + timedelta(days=-1), usegmt=True)
GARBAGE = [b"<html>busy</html>", b"", {}, {"choices": []}, [], {"choices": [{"index": 0}]}]


@pytest.mark.parametrize(
    "fault",
    [
        *(status(code) for code in (408, 429, 500, 502, 503, 529)),
        status(429, Retry_After="0"),
        status(503, Retry_After=LATER),
        *(says(content) for content in GARBAGE),
        drop,
        hang,
        drip,
    ],
    ids=[
        *("408", "429", "500", "502", "503", "529", "429-seconds", "503-date"),
        *("html", "empty", "object", "no-choices", "list", "no-message"),
        *("drop", "hang", "drip"),
    ],
)
def test_a_fault_that_passes_changes_nothing(
    server: CompletionServer, tmp_path: Path, fault: Fault
) -> None:
    unbroken = write(model_at(server.url, tmp_path / "unbroken"))
    server.faults.extend([fault] * 3)
    # Short where it is what ends the fault. A busy machine may take a second for a good answer.
    timeout = 1.5 if fault in (hang, drip) else 5
    assert write(model_at(server.url, tmp_path / "broken", timeout=timeout)) == unbroken
    assert len(server.asked) >= 2 * 12 + 3
    assert len(server.answered) == 2 * 12


def test_retry_after_is_honoured(server: CompletionServer, tmp_path: Path) -> None:
    server.faults.append(status(429, Retry_After="1"))
    started = time.monotonic()
    write(model_at(server.url, tmp_path / "kept"), request_of(samples=1), PROMPTS[:1])
    assert 1 <= time.monotonic() - started < 3


def test_a_server_that_asks_for_hours_is_not_waited_for(
    server: CompletionServer, tmp_path: Path
) -> None:
    server.faults.append(status(429, Retry_After="7200"))
    with pytest.raises(HeirloomError, match=r"in 1 attempt\(s\), the last: HTTP 429"):
        write(model_at(server.url, tmp_path / "kept"), request_of(samples=1), PROMPTS[:1])


@pytest.mark.parametrize("at_once", [1, 4])
def test_one_that_dies_for_good_loses_nothing(
    server: CompletionServer, tmp_path: Path, at_once: int
) -> None:
    unbroken = write(model_at(server.url, tmp_path / "unbroken"))
    server.answered.clear()
    server.dies_after = 5
    model = model_at(server.url, tmp_path / "kept", requests=at_once, attempts=3)
    with pytest.raises(HeirloomError) as caught:
        write(model)
    message = str(caught.value)
    assert f"the endpoint {server.url} (model writer) gave no answer in 3 attempt(s)" in message
    assert (
        "5 of 12 missing completions are kept now" in message and str(tmp_path / "kept") in message
    )
    assert "run the same command again" in message and "\n" not in message

    server.dies_after = None
    server.asked.clear()
    assert write(model) == unbroken
    assert len(server.asked) == 12 - 5
    assert write(model) == unbroken
    assert len(server.asked) == 12 - 5


def test_only_what_is_missing_is_asked_for(server: CompletionServer, tmp_path: Path) -> None:
    model = model_at(server.url, tmp_path / "kept")

    def asked(*args: Any, **options: Any) -> int:
        before = len(server.asked)
        write(model, *args, **options)
        return len(server.asked) - before

    assert asked(request_of(samples=1), PROMPTS[:4]) == 4
    assert asked(request_of(samples=3), PROMPTS[:4]) == 8  # the first of three is there
    assert asked(request_of(samples=3)) == 6  # two more prompts
    assert asked(request_of(samples=3), shard=1, shards=2) == 0
    changed = [Prompt("p0", "Another text under the same id."), *PROMPTS[1:]]
    assert asked(request_of(samples=3), changed) == 3
    assert asked(request_of(samples=1, seed=2)) == 6
    other = model_at(f"{server.url}/other", tmp_path / "kept")
    write(other, request_of(samples=1))  # another address is another model
    assert len(server.asked) == 27 + 6


def test_shards_together_are_the_whole(server: CompletionServer, tmp_path: Path) -> None:
    whole = write(model_at(server.url, tmp_path / "whole"))
    model = model_at(server.url, tmp_path / "parts")
    parts = [record for shard in range(3) for record in write(model, shard=shard, shards=3)]
    key = "prompt_id", "sample"
    assert sorted(parts, key=lambda r: [r[k] for k in key]) == whole


def test_a_model_with_a_revision_may_move(tmp_path: Path) -> None:
    settings = {"revision": "1", "kept": tmp_path / "kept"}
    with serving() as first:
        records = write(model_at(first.url, **settings))
    with serving() as second:
        assert write(model_at(second.url, **settings)) == records
        assert not second.asked
        write(model_at(second.url, **{**settings, "revision": "2"}))
        assert len(second.asked) == 12


def test_a_line_cut_off_in_a_crash_is_asked_for_again(
    server: CompletionServer, tmp_path: Path
) -> None:
    model = model_at(server.url, tmp_path / "kept")
    records = write(model)
    (file,) = model.kept.glob("*/*.jsonl")
    file.write_bytes(file.read_bytes()[:-10])
    assert write(model) == records
    assert write(model) == records
    assert len(server.asked) == 13


@pytest.mark.parametrize(
    ("said", "code"),
    [
        ({"error": {"code": "context_length_exceeded", "message": "too many tokens"}}, 400),
        ({"message": "This model's maximum context length is 256 tokens."}, 400),
        ({"error": {"type": "exceed_context_size_error"}}, 400),
    ],
)
def test_a_prompt_that_does_not_fit_is_too_long(
    server: CompletionServer, tmp_path: Path, said: Any, code: int
) -> None:
    server.faults.append(lambda handler: handler.send(code, said))
    model = model_at(server.url, tmp_path / "kept")
    (record,) = write(model, request_of(samples=1), PROMPTS[:1])
    assert (record["completion"], record["n_tokens"]) == (None, 0)
    assert record["finish_reason"] == "too_long"


def _choice(**changes: Any) -> Any:
    document = completion("/v1/chat/completions", {"messages": [{"content": ""}], "temperature": 0})
    document["choices"][0] |= changes
    return document


def test_a_text_that_a_filter_took_is_null_and_one_without_a_count_has_none(
    server: CompletionServer, tmp_path: Path
) -> None:
    server.faults.append(says(_choice(finish_reason="content_filter", message={"content": None})))
    uncounted = _choice(message={"content": "half a pair: \ud83d"})
    del uncounted["usage"]
    server.faults.append(says(uncounted))
    model = model_at(server.url, tmp_path / "kept", requests=1)
    filtered, counted = write(model, request_of(samples=2), PROMPTS[:1])
    assert (filtered["completion"], filtered["finish_reason"]) == (None, "filtered")
    assert (counted["completion"], counted["n_tokens"]) == ("half a pair: ?", None)


@pytest.mark.parametrize(
    ("code", "settings", "hint"),
    [
        (401, {}, "name the environment variable"),
        (404, {"template": PromptTemplate("{prompt}")}, "set `completions: no`"),
        (307, {}, "put the address that it has now into `url`"),
    ],
)
def test_a_refusal_is_not_repeated(
    server: CompletionServer, tmp_path: Path, code: int, settings: Any, hint: str
) -> None:
    elsewhere = {"Location": "http://127.0.0.1:9/"}
    server.faults.extend([status(code, **elsewhere)] * 12)
    with pytest.raises(HeirloomError, match=f"refuses .*HTTP {code}") as caught:
        write(model_at(server.url, tmp_path / "kept", requests=1, **settings))
    assert hint in str(caught.value)
    assert len(server.asked) == 1


def test_the_key_goes_to_the_server_and_nowhere_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The server repeats the key in errors and in a text; a file ~/.netrc has another."""
    monkeypatch.setenv("HEIRLOOM_TEST_KEY", SECRET)
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login me password other\n")
    monkeypatch.setenv("NETRC", str(netrc))
    caplog.set_level(logging.DEBUG)
    messages = []
    with serving(key=SECRET) as server:
        model = model_at(server.url, tmp_path / "kept", key="HEIRLOOM_TEST_KEY", requests=1)
        server.faults.append(says(_choice(message={"content": f"I was told {SECRET}."})))
        server.faults.append(status(500, X_Echo=SECRET))
        server.faults.append(lambda h: h.send(500, h.headers["Authorization"].encode()))
        write_json(tmp_path / "note.json", describe_endpoint("writer", model.endpoint))
        write_json(tmp_path / "records.json", write(model))
        assert all(h["Authorization"] == f"Bearer {SECRET}" for _, h, _ in server.asked)
        server.key = "another"
        with pytest.raises(HeirloomError, match="Is the key in HEIRLOOM_TEST_KEY the right one"):
            write(model, request_of(seed=9))
        server.faults.extend([lambda h: h.send(503, h.headers["Authorization"].encode())] * 9)
        with pytest.raises(HeirloomError) as caught:
            write(model, request_of(seed=9))
        messages += [str(caught.value), repr(model), caplog.text]
    assert "Bearer [the key]" in messages[0]
    files = [path.read_text() for path in tmp_path.rglob("*") if path.is_file()]
    assert any("I was told [the key]." in text for text in files)
    assert not any(SECRET in text for text in [*messages, *files])


def test_a_key_is_needed_only_where_something_is_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HEIRLOOM_TEST_KEY", SECRET)
    with serving(key=SECRET) as server:
        model = model_at(server.url, tmp_path / "kept", key="HEIRLOOM_TEST_KEY")
        records = write(model)
    monkeypatch.delenv("HEIRLOOM_TEST_KEY")
    assert write(model) == records
    assert describe_endpoint("writer", model.endpoint)["served"] is None
    with pytest.raises(EndpointError, match="environment variable HEIRLOOM_TEST_KEY is not set"):
        write(model, request_of(seed=9))


def test_the_note_says_what_the_server_says(server: CompletionServer, tmp_path: Path) -> None:
    endpoint = Endpoint(url=f"{server.url}/", model="writer")
    written = describe_endpoint("writer", endpoint)
    assert written["served"] == {"id": "writer", "owned_by": "tests", "max_model_len": 256}
    assert written["endpoint"]["url"] == server.url
    write_json(tmp_path / "note.json", written)
    opened = open_model(tmp_path / "note.json", name="w", prompt_template=PromptTemplate())
    assert isinstance(opened, RemoteModel) and opened.endpoint == endpoint
    assert Client(Endpoint(url=server.url, model="other")).served() is None


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"url": "ftp://host/v1"}, "not an http or https address"),
        ({"url": f"https://me:{SECRET}@host/v1"}, "not contain a user, password or query"),
        ({"url": f"https://host/v1?key={SECRET}"}, "not contain a user, password or query"),
        ({"key": SECRET}, "name of an environment variable"),
        ({"url": "http://host/v1", "key": "KEY"}, "only over https"),
    ],
)
def test_settings_that_would_give_a_key_away(settings: Any, problem: str, root: Path) -> None:
    from heirloom.study.parse import parse_study

    settings = {"url": "https://host/v1", "model": "m", **settings}
    with pytest.raises(ValidationError, match=problem):
        Endpoint(**settings)
    study = {"models": {"remote": {"endpoint": settings}}, "teachers": ["remote"]}
    with pytest.raises(HeirloomError) as caught:
        parse_study(study, root=root)
    assert "models.remote.endpoint" in str(caught.value) and problem in str(caught.value)
    assert SECRET not in str(caught.value)
