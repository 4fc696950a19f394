"""Answers without a text, refusals, and the pace and the price of requests."""

import json
import logging
import threading
import time
from collections import deque
from pathlib import Path
from typing import Any

import pytest
from completion_server import (
    CompletionServer,
    Fault,
    completion,
    drop,
    refuse,
    says,
    status,
)
from loopback import Handler
from pydantic import ValidationError

from heirloom.generate import client as clients
from heirloom.generate import meter as meters
from heirloom.generate import refusals
from heirloom.generate.answer import read_answer, text_of
from heirloom.generate.answer_store import completion as as_completion
from heirloom.generate.answer_store import read_answers
from heirloom.generate.client import Client, EndpointError
from heirloom.generate.completions import generate
from heirloom.generate.endpoint import RemoteModel, least_tokens
from heirloom.generate.meter import CostLimitError, Meter
from heirloom.generate.request import Prompt, Request, Sampling
from heirloom.generate.settings import Endpoint, Price
from heirloom.generate.templates import PromptTemplate
from heirloom.support.errors import HeirloomError
from heirloom.support.files import Record, read_json

PROMPTS = [Prompt(f"p{n}", f"Name {n} colours.") for n in range(6)]
CHAT = "/v1/chat/completions"


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clients, "_FIRST_DELAY", 0.01)


def write(
    server: CompletionServer,
    folder: Path,
    prompts: list[Prompt] = PROMPTS,
    *,
    sampling: Sampling | None = None,
    samples: int = 1,
    template: PromptTemplate | None = None,
    **settings: Any,
) -> list[Record]:
    """Completions of the prompts, from a server with these settings of its endpoint."""
    endpoint = Endpoint(**{"url": server.url, "model": "writer", "timeout": 5, **settings})
    model = RemoteModel("writer", endpoint, template or PromptTemplate(), folder / "kept")
    request = Request(samples, 16, sampling or Sampling(), seed=1)
    return generate(model, prompts, request, work=folder / "unused")


def prompt_of(body: Any) -> str:
    return body["messages"][0]["content"] if "messages" in body else body["prompt"]


def only(text: str, fault: Fault) -> Any:
    """A rule: the fault for prompts that hold the text, answers for the others."""
    return lambda body: fault if text in prompt_of(body) else None


def answer(**changes: Any) -> Any:
    document = completion(CHAT, {"messages": [{"content": ""}]})
    document["choices"][0] |= changes
    return document


TOO_LONG = "The decoder prompt (length 5000) is longer than the maximum model length of 4096."
NULL = {"message": {"content": None, "reasoning_content": "Hm, colours."}}
FILTER = "The response was filtered due to the prompt triggering our content management policy"
REFUSAL = {"message": {"content": None, "refusal": "I cannot help with that."}}


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (says(answer(**NULL)), "empty"),
        (says(answer(message={"content": "  "})), "empty"),
        (says(answer(message={"content": []})), "empty"),
        (says(answer(finish_reason="length", message={"content": None})), "empty"),
        (says(answer(finish_reason="tool_calls", message={"content": None})), "empty"),
        (says(answer(message={"role": "assistant"})), "empty"),
        (says(answer(**REFUSAL)), "refused"),
        (says(answer(finish_reason="refusal", message={"content": ""})), "refused"),
        (says(answer(finish_reason="SAFETY", message={"content": None})), "filtered"),
        (says({"choices": [], "promptFeedback": {"blockReason": "OTHER"}}), "filtered"),
        (refuse(400, FILTER, code="content_filter"), "filtered"),
        (refuse(403, "Your input was flagged by moderation"), "filtered"),
        (refuse(451, "Unavailable For Legal Reasons"), "filtered"),
        (refuse(400, TOO_LONG), "too_long"),
        (refuse(500, TOO_LONG), "too_long"),
        (refuse(422, "`inputs` tokens + `max_new_tokens` must be <= 4096"), "too_long"),
        (refuse(400, "prompt is too long: 200001 tokens > 200000 maximum"), "too_long"),
        (refuse(400, "The input token count (9000) exceeds the maximum number of tokens allowed"),
         "too_long"),
        (refuse(413, "Request Entity Too Large"), "too_long"),
        (says({"error": {"code": 400, "message": TOO_LONG}}), "too_long"),
        (refuse(400, "Something about this prompt"), "refused"),
        (status(500), "refused"),
        (drop, "refused"),
    ],
)  # fmt: skip
def test_one_prompt_without_an_answer_ends_nothing(
    server: CompletionServer, tmp_path: Path, fault: Fault, reason: str, caplog: Any
) -> None:
    """The other five go on, it is named, and a second run asks for nothing."""
    server.rule = only("Name 3 ", fault)
    records = write(server, tmp_path, attempts=2)
    found = {r["prompt_id"]: (r["completion"] is None, r["finish_reason"]) for r in records}
    assert found == {f"p{n}": (n == 3, reason if n == 3 else "stop") for n in range(6)}
    assert f"1 of 6 completions by writer have no answer ({reason}: p3" in caplog.text
    server.asked.clear()
    assert write(server, tmp_path, attempts=2) == records
    assert not server.asked
    # Asked again on request alone.
    server.rule = lambda body: None
    again = write(server, tmp_path, attempts=2, retry="refused")
    assert [prompt_of(body) for _, _, body in server.asked] == ["Name 3 colours."]
    assert again[3]["finish_reason"] == "stop"
    assert write(server, tmp_path, attempts=2) == again
    assert len(server.asked) == 1


@pytest.mark.parametrize("requests", [1, 4])
@pytest.mark.parametrize("number", [0, 5])
def test_a_prompt_that_breaks_the_server_is_told_from_a_dead_server(
    server: CompletionServer, tmp_path: Path, requests: int, number: int
) -> None:
    """It may be the first or the last, and the only one that is missing."""
    server.rule = only(f"Name {number} ", status(500))
    records = write(server, tmp_path, samples=2, requests=requests, attempts=2)
    assert [r["finish_reason"] == "refused" for r in records] == [
        n == number for n in range(6) for _ in (0, 1)
    ]
    server.rule = lambda body: drop
    with pytest.raises(HeirloomError, match=r"gave no answer in 2 attempt\(s\).*0 of 12 missing"):
        write(server, tmp_path, [Prompt(f"q{n}", "Why?") for n in range(12)], attempts=2)


@pytest.mark.parametrize("fault", [refuse(400, "maximum context length"), says(answer(**NULL))])
def test_too_many_prompts_without_an_answer_end_the_job(
    server: CompletionServer, tmp_path: Path, fault: Fault
) -> None:
    """More than one prompt, and more than the share: five of forty are 12.5 %."""
    many = [Prompt(f"p{n:02}", f"Name {n:02} colours.") for n in range(40)]
    server.rule = lambda body: fault if prompt_of(body) < "Name 05" else None
    with pytest.raises(HeirloomError) as caught:
        write(server, tmp_path, many, requests=1)
    message = str(caught.value)
    assert "3 of 40 completions by writer have no answer" in message and "p00, p01, p02" in message
    assert "max_failed, 5 %" in message and "\n" not in message
    asked = len(server.asked)
    with pytest.raises(HeirloomError, match="max_failed"):
        write(server, tmp_path, many, requests=1)
    assert len(server.asked) == asked == 3  # those that were answered are kept
    records = write(server, tmp_path, many, max_failed=0.125)
    assert sum(r["completion"] is None for r in records) == 5
    assert len(server.asked) == 40
    with pytest.raises(HeirloomError, match="max_failed, 0 %"):
        write(server, tmp_path, many, max_failed=0)


def test_a_prompt_too_long_under_one_api_is_not_asked_for_under_the_other(
    server: CompletionServer, tmp_path: Path
) -> None:
    server.rule = only("Name 3 ", refuse(400, TOO_LONG))
    records = write(server, tmp_path)
    server.asked.clear()
    assert write(server, tmp_path, api="openai") == records
    assert not server.asked
    # With top_k, which only one of them sends, the other's completions would differ.
    write(server, tmp_path, sampling=Sampling(top_k=5))
    server.asked.clear()
    write(server, tmp_path, sampling=Sampling(top_k=5), api="openai")
    assert sorted(prompt_of(body)[5] for _, _, body in server.asked) == list("01245")


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ([{"type": "thinking", "thinking": "Hm."}, {"type": "text", "text": "Red"}], "Red"),
        ([{"type": "text", "text": "Re"}, {"type": "text", "text": "d"}], "Red"),
        ([{"type": "output_text", "text": "Red"}], "Red"),
        ([{"type": "text", "text": {"value": "Red"}}], "Red"),
        (["Re", "d"], "Red"),
        ({"type": "text", "text": "Red"}, "Red"),
        ([{"type": "thinking", "thinking": "Hm."}], None),
        ([None, 3, {"type": "text", "text": 3}], None),
        (3, None),
    ],
)
def test_content_in_parts(content: Any, text: str | None) -> None:
    assert text_of(content) == text
    assert read_answer(answer(message={"content": content}))[0].text == text


@pytest.mark.parametrize(
    ("reason", "ours", "known"),
    [
        *((reason, "stop", True) for reason in ("stop", "eos", "eos_token", "end_turn", "STOP")),
        *((reason, "length", True) for reason in ("length", "max_tokens", "MAX_TOKENS")),
        *((reason, "stop", False) for reason in (None, "", "a new one", 7)),
        ("content_filter", "length", True),  # what came before the filter
    ],
)
def test_finish_reasons(reason: Any, ours: str, known: bool) -> None:
    found, unknown = read_answer(answer(finish_reason=reason))
    assert (found.finish_reason, unknown is None) == (ours, known)


def test_an_unknown_finish_reason_is_named_once(
    server: CompletionServer, tmp_path: Path, caplog: Any
) -> None:
    missing = answer()
    del missing["choices"][0]["finish_reason"]
    server.rule = lambda body: says(missing)
    assert {r["finish_reason"] for r in write(server, tmp_path)} == {"stop"}
    assert caplog.text.count("finish reason None is unknown") == 1
    assert len(server.asked) == 6


# Fields


def refuses(*names: str, code: int = 400, said: str = "Unsupported parameter: '{}'") -> Any:
    """A rule: refuse requests that hold one of the fields."""

    def rule(body: Any) -> Fault | None:
        found = [name for name in names if name in body]
        return refuse(code, said.format(found[0])) if found else None

    return rule


@pytest.mark.parametrize("api", ["extended", "openai"])
@pytest.mark.parametrize("said", ["Unsupported parameter: '{}'", "Bad request"])
def test_a_neutral_field_that_a_server_refuses_is_left_out(
    server: CompletionServer, tmp_path: Path, api: str, said: str
) -> None:
    server.rule = refuses("top_p", "min_p", "temperature", said=said)
    records = write(server, tmp_path, api=api, requests=1)
    assert all(r["finish_reason"] == "stop" for r in records)
    assert len(server.answered) == 6
    # OpenAI's defaults are the neutral values; other servers' defaults are not, so they are told.
    assert len(server.asked) == (6 if api == "openai" else 7)
    assert {"top_p", "temperature"} & server.asked[0][2].keys() == (
        set() if api == "openai" else {"top_p", "temperature"}
    )


@pytest.mark.parametrize(
    ("field", "code", "said"),
    [
        ("seed", 422, '{{"detail": [{{"loc": ["body", "seed"], "msg": "Extra inputs"}}]}}'),
        ("top_p", 400, "Unsupported parameter: '{}' is not supported with this model."),
        ("temperature", 400, "temperature does not support 0.7 with this model"),
        ("top_k", 400, "Unrecognized request argument supplied: top_k"),
    ],
)
def test_a_refusal_that_names_a_field_names_the_key_that_mends_it(
    server: CompletionServer, tmp_path: Path, field: str, code: int, said: str
) -> None:
    server.rule = refuses(field, code=code, said=said)
    sampling = Sampling(0.7, 5, 0.9)
    with pytest.raises(HeirloomError, match=rf"set `omit: \[{field}\]` in the endpoint"):
        write(server, tmp_path, sampling=sampling, requests=1)
    assert len(server.asked) == 1
    records = write(server, tmp_path, sampling=sampling, omit=[field])
    assert [r["finish_reason"] for r in records] == ["stop"] * 6


def test_a_refusal_without_a_field_names_the_keys_to_look_at(
    server: CompletionServer, tmp_path: Path
) -> None:
    """After two prompts: the first one might have been the reason."""
    server.rule = lambda body: refuse(400, "not now")
    with pytest.raises(HeirloomError, match=r"refuses .*HTTP 400.*`omit`.*`api: openai`"):
        write(server, tmp_path, requests=1)
    assert len(server.asked) == 4  # each with the neutral fields and without


def test_extra_fields_are_sent_and_are_part_of_the_identity(
    server: CompletionServer, tmp_path: Path
) -> None:
    write(server, tmp_path)
    write(server, tmp_path, extra={"reasoning_effort": "low"})
    assert len(server.asked) == 12
    assert server.asked[-1][2]["reasoning_effort"] == "low"
    plain = Endpoint(url=server.url, model="writer")
    # Without them it is what earlier versions stored answers under.
    assert plain.identity == {"model": "writer", "url": server.url}
    sent = plain.model_copy(update={"omit": ["seed"], "extra": {"a": 1}})
    assert sent.identity == {**plain.identity, "omit": ["seed"], "extra": {"a": 1}}
    assert sent.sent({"seed": 1, "top_p": 1.0}) == {"top_p": 1.0, "a": 1}


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"omit": ["tempreature"]}, "tempreature|Input should be"),
        ({"extra": {"messages": []}}, "extra must not hold messages"),
        ({"extra": {"temperature": 2}}, "put temperature into `omit`"),
        ({"extra": {"stream": True}}, "extra must not hold stream"),
        ({"max_cost": 1}, "max_cost needs a price"),
        ({"max_failed": 1.5}, "less than or equal to 1"),
    ],
)
def test_settings_that_cannot_be(settings: Any, problem: str) -> None:
    with pytest.raises(ValidationError, match=problem):
        Endpoint(url="https://host/v1", model="m", **settings)


@pytest.mark.parametrize("header", [True, False])
def test_a_stream_is_refused_once(server: CompletionServer, tmp_path: Path, header: bool) -> None:
    def stream(handler: Handler) -> None:
        kind = {"Content_Type": "text/event-stream"} if header else {}
        handler.send(200, b'data: {"choices": []}\n\ndata: [DONE]\n\n', **kind)

    server.rule = lambda body: stream
    with pytest.raises(HeirloomError, match=r"streams its answers.*`extra: {stream: false}`"):
        write(server, tmp_path, requests=1)
    assert len(server.asked) == 1


@pytest.mark.parametrize(
    ("said", "sent", "named"),
    [
        ("Unknown name 'seed'", ["seed", "top_p"], ["seed"]),
        ("Seed money must not stop", ["seed", "stop"], []),
        ("Please stop. max_tokens_total is wrong", ["stop", "max_tokens"], []),
        ("temperature is not supported", ["temperature"], ["temperature"]),
        ('{"param": "top_p"}', ["top_p", "seed"], ["top_p"]),
    ],
)
def test_fields_that_a_message_names(said: str, sent: list[str], named: list[str]) -> None:
    assert refusals.fields_named(said, sent) == named


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (400, "Your credit balance is too low"),
        (400, "you exceeded your tokens per minute limit"),
        (429, "Too many requests"),
        (504, "The request took too long"),
        (503, "Too many requests are waiting"),
        (500, "Internal server error"),
    ],
)
def test_refusals_that_say_nothing_of_their_prompt(status: int, said: str) -> None:
    assert refusals.answer_to(status, said) is None


# Pace


class Busy:
    """A rule: at most `most` answers in any `seconds`, and 429 for what is more."""

    def __init__(self, most: int, seconds: float, **headers: str) -> None:
        self.most, self.seconds, self.headers = most, seconds, headers
        self.starts: deque[float] = deque()

    def __call__(self, body: Any) -> Fault | None:
        now = time.monotonic()
        while self.starts and self.starts[0] <= now - self.seconds:
            self.starts.popleft()
        if len(self.starts) >= self.most:
            return status(429, **self.headers)
        self.starts.append(now)
        return None


@pytest.mark.parametrize("headers", [{}, {"Retry_After_Ms": "120"}, {"Retry_After": "nonsense"}])
def test_too_many_requests_slow_the_client_down_and_use_up_no_attempts(
    server: CompletionServer, tmp_path: Path, headers: dict[str, str]
) -> None:
    """Ten answers per 0.2 s and two attempts each: sixty answers come all the same."""
    server.rule = Busy(10, 0.2, **headers)
    many = [Prompt(f"p{n}", f"Name {n} colours.") for n in range(60)]
    records = write(server, tmp_path, many, attempts=2)
    assert [r["finish_reason"] for r in records] == ["stop"] * 60
    assert len(server.answered) == 60
    refused = len(server.asked) - 60
    assert refused < 120  # threads that each asked on their own would be refused hundreds of times


def test_a_server_that_is_always_busy_is_dead(server: CompletionServer, tmp_path: Path) -> None:
    server.rule = lambda body: status(429)
    with pytest.raises(
        HeirloomError, match=r"gave no answer in 3 attempt\(s\), the last: HTTP 429"
    ):
        write(server, tmp_path, attempts=3, requests=2)
    assert len(server.asked) <= 6


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after-ms": "1500"}, 1.5),
        ({"retry-after": "2"}, 2.0),
        ({"retry-after-ms": "x", "retry-after": "2"}, 2.0),
        ({"retry-after": "nan"}, 0.0),
        ({"retry-after": "-3"}, 0.0),
        ({"retry-after": "Mon, 99 Nonsense"}, 0.0),
        ({"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"}, 0.0),
        ({}, 0.0),
    ],
)
def test_the_time_that_a_server_asks_for(headers: dict[str, str], seconds: float) -> None:
    from requests.structures import CaseInsensitiveDict

    assert clients._seconds_to_wait(CaseInsensitiveDict(headers)) == seconds


def test_jobs_share_the_requests_per_minute(server: CompletionServer, tmp_path: Path) -> None:
    """Two jobs of six requests at 2,400 per minute, one every 25 ms: 11 pauses, 0.275 s."""
    jobs = [
        threading.Thread(
            target=write, args=(server, tmp_path, [Prompt(f"{job}{n}", "Why?") for n in range(6)]),
            kwargs={"requests_per_minute": 2400},
        )
        for job in "ab"
    ]  # fmt: skip
    started = time.monotonic()
    for job in jobs:
        job.start()
    for job in jobs:
        job.join()
    assert time.monotonic() - started >= 0.275
    assert len(server.answered) == 12


def test_tokens_per_minute_follow_the_server_s_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """600 tokens per minute: 40 characters and 40 new tokens count as 50, which is 5 s."""
    now = [1000.0]
    monkeypatch.setattr(meters.time, "time", lambda: now[0])
    endpoint = Endpoint(url="http://localhost/v1", model="m", tokens_per_minute=600)
    meter, waited = Meter(endpoint, tmp_path, "s"), []

    def pause(seconds: float) -> bool:
        waited.append(seconds)
        now[0] += seconds
        return False

    body = {"prompt": "x" * 40, "max_tokens": 40}
    first = meter.admit(body, pause)
    assert first is not None and first.tokens == 50 and waited == []
    meter.settle(first, 10, 10)  # 20 tokens in truth: 2 s
    second = Meter(endpoint, tmp_path, "other").admit(body, pause)
    assert second is not None and waited == [pytest.approx(2.0)]
    now[0] -= 7200  # a clock that is set back stops nobody for hours
    meter.admit(body, pause)
    assert waited[1] <= 60
    assert meter.admit(body, lambda seconds: True) is None


# Money


def test_the_costs_stop_before_their_limit(server: CompletionServer, tmp_path: Path) -> None:
    """Nine tokens per answer at 1,000 per million cost 0.009; a request costs 0.016 at the most."""
    server.rule = lambda body: says(
        {**completion(CHAT, body), "usage": {"completion_tokens": 9, "prompt_tokens": 100}}
    )
    settings = {"price": {"input": 0, "output": 1000}, "max_cost": 0.05, "requests": 1}
    with pytest.raises(HeirloomError) as caught:
        write(server, tmp_path, **settings)
    # 0.036 + 0.016 > 0.05 after four answers.
    assert "has spent 0.036" in str(caught.value) and "max_cost, 0.05" in str(caught.value)
    assert "4 of 6 missing completions are kept now" in str(caught.value)
    records = write(server, tmp_path, **{**settings, "max_cost": 1})
    assert len(server.asked) == 6
    assert [r["prompt_tokens"] for r in records] == [100] * 6
    (ledger,) = (tmp_path / "kept").glob("spent-*.json")
    assert read_json(ledger)["spent"] == pytest.approx(6 * 0.009)


def test_refused_requests_cost_nothing_and_lost_ones_may(tmp_path: Path) -> None:
    price = Price(input=1e6, output=1e6)  # one per token
    endpoint = Endpoint(url="http://localhost/v1", model="m", price=price, max_cost=200)
    meter = Meter(endpoint, tmp_path, "s")
    body = {"messages": [{"role": "user", "content": "é"}], "max_tokens": 10}
    charges = [meter.admit(body, lambda seconds: False) for _ in range(2)]
    # Two bytes, 64 tokens of a template and 10 new ones.
    assert [charge.money for charge in charges if charge] == [76, 76] and meter.spent == 152
    meter.cancel(charges[0])  # type: ignore[arg-type]
    meter.settle(charges[1], None, 5)  # type: ignore[arg-type]
    assert meter.spent == 76
    assert Meter(endpoint, tmp_path, "another study").spent == 0
    meter.admit(body, lambda seconds: False)
    with pytest.raises(CostLimitError, match="has spent 152"):
        meter.admit(body, lambda seconds: False)


# Prompts that a server cuts


def test_a_prompt_that_the_server_cut_is_named(
    server: CompletionServer, tmp_path: Path, caplog: Any
) -> None:
    long = [*PROMPTS[:2], Prompt("long", "why not " * 200), Prompt("chinese", "天" * 400)]
    server.rule = lambda body: says(
        {**completion(CHAT, body), "usage": {"completion_tokens": 9, "prompt_tokens": 60}}
    )
    write(server, tmp_path, long)
    # 400 words are 200 tokens or more, 400 characters 100 or more.
    assert "seems to have cut 2 prompt(s): long, chinese. In long it counted 60 tokens, of at" in (
        caplog.text
    )
    assert "least 200." in caplog.text
    assert [least_tokens(text) for text in ("a " * 39, "a " * 40, "ก" * 80, "")] == [0, 20, 20, 0]


# Answers of earlier versions


def test_answers_of_earlier_versions_stay_valid(tmp_path: Path) -> None:
    lines = [
        {"text": "", "n_tokens": 0, "finish_reason": "too_long", "served_by": None, "tokens": None},
        {"text": "", "n_tokens": 3, "finish_reason": "content_filter", "served_by": "m"},
        {"text": "So", "n_tokens": 3, "finish_reason": "content_filter", "served_by": "m"},
        {"text": "", "n_tokens": 1, "finish_reason": "stop", "served_by": "m"},
        {"text": " Red ", "n_tokens": 2, "finish_reason": "stop", "served_by": "m"},
    ]
    file = tmp_path / "1-of-1.jsonl"
    entries = [json.dumps({"key": [f"p{n}", "0", 0], **line}) for n, line in enumerate(lines)]
    file.write_text("\n".join([*entries, "[1]", "{}", '{"key": 3}']))
    made = [as_completion(k, a, (), "instruction") for k, a in read_answers([file]).items()]
    assert [(c.completion, c.finish_reason) for c in made] == [
        (None, "too_long"),
        (None, "filtered"),
        ("So", "length"),
        (None, "empty"),
        ("Red", "stop"),
    ]


def test_the_log_is_quiet_where_everything_is_answered(
    server: CompletionServer, tmp_path: Path, caplog: Any
) -> None:
    write(server, tmp_path)
    assert [r for r in caplog.records if r.levelno >= logging.WARNING] == []
    with pytest.raises(EndpointError):
        Client(Endpoint(url=server.url, model="m", key="HEIRLOOM_NO_SUCH_KEY"))
