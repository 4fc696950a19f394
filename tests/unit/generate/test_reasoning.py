"""Reasoning is told from the answer: in texts, in servers' messages and at the end of prompts."""

from pathlib import Path
from typing import Any

import pytest
from completion_server import says, serving

from heirloom.generate.completions import generate
from heirloom.generate.endpoint import RemoteModel
from heirloom.generate.model import LanguageModel, load_tokenizer
from heirloom.generate.reasoning import apart, of_message, opened, split, together, without_opener
from heirloom.generate.request import Completion, Prompt, Request, Sampling
from heirloom.generate.settings import Endpoint, Model
from heirloom.generate.templates import PromptTemplate, encode_prompt
from heirloom.support.files import Record

GPT_OSS = (
    "<|channel|>analysis<|message|>hm<|end|><|start|>assistant<|channel|>final<|message|>"
    "Red.<|return|>"
)
# A model whose template opens the block unless it is told not to, as many do.
THINKING = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n<think>\n"
    "{% if enable_thinking is defined and not enable_thinking %}{{ '\n</think>\n\n' }}{% endif %}"
    "{% endif %}"
)


@pytest.mark.parametrize(
    ("text", "reasoning", "answer"),
    [
        ("<think>hm</think>\n\nRed", "hm", "Red"),
        ("\n<think>\nhm\n</think>\nRed\n", "hm", "Red"),
        ("<think>\n\n</think>\n\nRed", None, "Red"),  # a block left empty, as Qwen3's is
        ("<think>a</think><think>b</think>Red", "a\n\nb", "Red"),
        ("<thinking>hm</thinking>Red", "hm", "Red"),
        ("<thought>\nhm\n</thought>\nRed", "hm", "Red"),
        ("<seed:think>hm</seed:think>Red", "hm", "Red"),
        ("<longcat_think>hm</longcat_think>Red", "hm", "Red"),
        ("[THINK]hm[/THINK]Red", "hm", "Red"),
        ("◁think▷hm◁/think▷Red", "hm", "Red"),
        (
            "<|START_THINKING|>hm<|END_THINKING|><|START_RESPONSE|>Red<|END_RESPONSE|>",
            "hm",
            "Red",
        ),
        ("<|begin_of_thought|>hm<|end_of_thought|>\nRed", "hm", "Red"),
        ("<|channel>thought\nhm<channel|>Red", "hm", "Red"),
        (GPT_OSS, "hm", "Red."),
        ("<|channel|>final<|message|>Red.", None, "Red."),
        ("analysisThe user asks.assistantfinalRed.", "The user asks.", "Red."),
        ("Here is my thought process: hm Here is my response: Red.", "hm", "Red."),
        ("<think>hm</think>\n<answer>Red</answer>", "hm", "Red"),
        # Closed by another tag than the one that opened it.
        ("<think>hm</thinking>Red", "hm", "Red"),
        # Never closed: no answer.
        ("<think>hm, the user", "hm, the user", ""),
        ("<think>I end with `</think>`, then", "I end with `</think>`, then", ""),
        # Opened by the template of a server.
        ("hm\n</think>\n\nRed", "hm", "Red"),
        ('I will say "Red"</think>Red', 'I will say "Red"', "Red"),
        ("one</think>two</think>Red", "one</think>two", "Red"),
        # Answers, and nothing else.
        ("Red", None, "Red"),
        (" a space before", None, " a space before"),
        ("Close the block with `</think>`.", None, "Close the block with `</think>`."),
        ("Put it into <think> and </think>.", None, "Put it into <think> and </think>."),
        ("[think] about it", None, "[think] about it"),
        ("I think so.", None, "I think so."),
        ("analysis of variance", None, "analysis of variance"),
        ("Here is my thought process: first", None, "Here is my thought process: first"),
        ("<answer>Red</answer>", None, "<answer>Red</answer>"),
        ("", None, ""),
    ],
)
def test_the_parts_of_a_text(text: str, reasoning: str | None, answer: str) -> None:
    parts = split(text)
    assert (parts.reasoning, parts.answer) == (reasoning, answer)


@pytest.mark.parametrize(
    ("text", "reasoning", "answer"),
    [
        ("reasoning </think> Red.", "reasoning", "Red."),
        ("hm, the user", "hm, the user", ""),
        ("No <think> in here.\n</think>\n\nRed", "No <think> in here.", "Red"),
        ("<think>opened again</think>Red", "opened again", "Red"),
        ("hm</think>Write <think> and </think>.", "hm", "Write <think> and </think>."),
        ("", None, ""),
    ],
)
def test_a_text_that_begins_inside_a_block(text: str, reasoning: str | None, answer: str) -> None:
    parts = split(text, inside=True)
    assert (parts.reasoning, parts.answer) == (reasoning, answer)


def test_a_record_has_reasoning_only_where_there_is_any() -> None:
    plain = Completion("p", 0, " Red", 3, "stop")
    assert apart(plain) == plain and list(plain.record()) == [
        "prompt_id", "sample", "completion", "n_tokens", "finish_reason"
    ]  # fmt: skip
    thought = apart(Completion("p", 0, "<think>b</think>Red", 9, "stop", reasoning="a"))
    assert thought.record() == {
        **plain.record(), "completion": "Red", "n_tokens": 9, "reasoning": "a\n\nb"
    }  # fmt: skip
    assert together(thought).record() == {
        **plain.record(),
        "completion": "<think>\na\n\nb\n</think>\n\nRed",
        "n_tokens": 9,
    }
    assert together(Completion("p", 0, "hm</think>Red", 9, "stop"), inside=True).completion == (
        "<think>\nhm</think>Red"
    )
    assert without_opener("<think>\nhm</think>Red") == "hm</think>Red"


@pytest.mark.parametrize(
    ("ending", "closing"),
    [
        ("<|im_start|>assistant\n", None),
        ("<|im_start|>assistant\n<think>\n", "\n</think>\n\n"),
        ("<|Assistant|><think>", "\n\n</think>\n\n"),
        ("<|im_start|>assistant\n<think>\nOkay, ", "\n\n</think>\n\n"),
        ("<|im_start|>assistant\n<think>\n\n</think>\n\n", None),
        ("<|turn>model\n<|channel>thought\n<channel|>", None),
        ("[THINK]", "\n\n[/THINK]\n\n"),
        (
            "<|start|>assistant<|channel|>analysis<|message|>",
            "<|end|><|start|>assistant<|channel|>final<|message|>",
        ),
    ],
)
def test_the_end_of_a_prompt(ending: str, closing: str | None) -> None:
    assert opened(ending) == closing


@pytest.mark.parametrize(
    ("message", "reasoning"),
    [
        ({"content": "Red", "reasoning_content": " hm\n"}, "hm"),
        ({"content": "Red", "reasoning": "hm"}, "hm"),
        ({"content": "Red", "reasoning_content": None, "reasoning": ""}, None),
        ({"content": "Red", "reasoning_content": "half \ud83d"}, "half ?"),
        (
            {
                "content": [
                    {"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]},
                    {"type": "text", "text": "Red"},
                ]
            },
            "hm",
        ),
        ({"content": [{"type": "thinking", "thinking": "hm"}, "Red"]}, "hm"),
        ({}, None),
    ],
)
def test_reasoning_in_a_message(message: Any, reasoning: str | None) -> None:
    assert of_message(message) == reasoning


# Endpoints


def answer(content: str | None, finish: str = "stop", **more: Any) -> Any:
    message = {"role": "assistant", "content": content, **more}
    choice = {"index": 0, "finish_reason": finish, "message": message}
    return says({"model": "m", "choices": [choice], "usage": {"completion_tokens": 9}})


def ask(folder: Path, *answers: Any, template: PromptTemplate | None = None) -> list[Record]:
    """Records of one prompt for each of these answers of a server, asked one after another."""
    with serving() as server:
        server.faults.extend(answers)
        endpoint = Endpoint(url=server.url, model="m", requests=1, attempts=1, max_failed=1)
        model = RemoteModel("m", endpoint, template or PromptTemplate(), folder / "kept")
        prompts = [Prompt(f"p{i}", "A colour?") for i in range(len(answers))]
        request = Request(1, 16, Sampling(), seed=1)
        records = generate(model, prompts, request, work=folder / "unused")
        asked = len(server.asked)
        assert generate(model, prompts, request, work=folder / "unused") == records
        assert len(server.asked) == asked == len(answers)  # nothing is asked for again
    return records


def test_what_servers_say_of_reasoning(tmp_path: Path) -> None:
    answers = [
        answer("Red", reasoning_content="hm"),
        answer("Red", reasoning="hm"),
        answer("<think>hm</think>\n\nRed"),
        answer("hm\n</think>\n\nRed"),
        answer("hm", "length"),  # the template opens the block, as the answer before shows
        answer(None, reasoning_content="hm"),
        answer(None, "length", reasoning_content="hm"),
    ]
    records = ask(tmp_path, *answers)
    assert [r["reasoning"] for r in records] == ["hm"] * 7
    assert [r["completion"] for r in records] == ["Red"] * 4 + [None] * 3
    assert [r["finish_reason"] for r in records] == ["stop"] * 4 + ["empty"] * 3
    assert {r["n_tokens"] for r in records} == {9}


def test_reasoning_alone_is_no_answer() -> None:
    record = apart(Completion("p", 0, "<think>hm", 9, "length")).record()
    assert (record["completion"], record["finish_reason"]) == (None, "empty")
    assert (record["reasoning"], record["n_tokens"]) == ("hm", 9)


def test_a_truncated_answer_is_one_where_no_server_opens_a_block(tmp_path: Path) -> None:
    (record,) = ask(tmp_path, answer("Red is a", "length"))
    assert (record["completion"], record["finish_reason"]) == ("Red is a", "length")
    assert "reasoning" not in record


def test_a_study_may_keep_reasoning_in_completions(tmp_path: Path) -> None:
    kept = PromptTemplate(reasoning="keep")
    texts = [
        answer("Red", reasoning_content="hm"),
        answer("<think>hm</think>\n\nRed"),
        answer(None, reasoning_content="hm"),
    ]
    records = ask(tmp_path, *texts, template=kept)
    assert [r["completion"] for r in records] == [
        "<think>\nhm\n</think>\n\nRed",
        "<think>hm</think>\n\nRed",
        "<think>\nhm\n",
    ]
    assert [r["finish_reason"] for r in records] == ["stop", "stop", "length"]
    # Stored answers serve both ways of reading them.
    assert kept.deciding() == PromptTemplate().deciding() == {"template": "chat", "stop": ()}


def test_variables_of_the_template_are_sent_and_decide(tmp_path: Path) -> None:
    template = PromptTemplate(chat_template_kwargs={"enable_thinking": False})
    with serving() as server:
        endpoint = Endpoint(url=server.url, model="m")
        request = Request(1, 16, Sampling(), seed=1)
        for used in (PromptTemplate(), template):
            model = RemoteModel("m", endpoint, used, tmp_path / "kept")
            generate(model, [Prompt("p", "A colour?")], request, work=tmp_path / "unused")
        first, second = (body for _, _, body in server.asked)
    assert "chat_template_kwargs" not in first
    assert second == {**first, "chat_template_kwargs": {"enable_thinking": False}}


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"template": "Q: {prompt}"}, "`template` replaces it"),
        ({"chat_template_kwargs": {"tokenize": True}}, "heirloom itself sets tokenize"),
        (
            {"sources": [], "endpoint": {"url": "https://host/v1", "model": "m", "api": "openai"}},
            "set endpoint.api to extended",
        ),
    ],
)
def test_variables_that_nothing_would_use(settings: Any, problem: str) -> None:
    sources = [{"path": "somewhere"}]
    given = {"sources": sources, "chat_template_kwargs": {"enable_thinking": False}, **settings}
    with pytest.raises(ValueError, match=problem):
        Model(**given)


# Local models


@pytest.fixture
def thinker(tiny_model: Path) -> Any:
    """A tokenizer whose template opens the block; of the marks, [THINK] and its end are special."""
    tokenizer = load_tokenizer(tiny_model)
    tokenizer.chat_template = THINKING
    tokenizer.add_special_tokens({"additional_special_tokens": ["[THINK]", "[/THINK]"]})
    return tokenizer


ASKED = "<|im_start|>user\n</think> Why?<|im_end|>\n<|im_start|>assistant\n<think>\n"


@pytest.mark.parametrize(
    ("variables", "answer", "prompt"),
    [
        ({}, False, ASKED),
        ({}, True, f"{ASKED}\n</think>\n\n"),
        ({"enable_thinking": False}, False, f"{ASKED}\n</think>\n\n"),
        ({"enable_thinking": False}, True, f"{ASKED}\n</think>\n\n"),
    ],
)
def test_prompts_of_a_template_that_opens_a_block(
    thinker: Any, variables: Any, answer: bool, prompt: str
) -> None:
    template = PromptTemplate(chat_template_kwargs=variables)
    ids = encode_prompt(thinker, template, "</think> Why?", "instruction", answer=answer)
    assert thinker.decode(ids) == prompt
    model = LanguageModel("m", None, thinker, template)
    assert model.begins_inside("</think> Why?", "instruction") is (not variables)
    assert not model.begins_inside("</think> Why?", "continuation")


@pytest.mark.parametrize("text", ["a", "think", "<think>", "assistant", "  Why?  ", ""])
def test_the_users_text_opens_nothing(thinker: Any, tiny_model: Path, text: str) -> None:
    assert LanguageModel("m", None, thinker, PromptTemplate()).begins_inside(text, "instruction")
    closed = PromptTemplate(chat_template_kwargs={"enable_thinking": False})
    assert not LanguageModel("m", None, thinker, closed).begins_inside(text, "instruction")
    plain = load_tokenizer(tiny_model)
    assert not LanguageModel("m", None, plain, PromptTemplate()).begins_inside(text, "instruction")


def test_a_template_of_ones_own_may_open_a_block(thinker: Any) -> None:
    template = PromptTemplate("Q: {prompt}\nA: <think>\n")
    ids = encode_prompt(thinker, template, "Why?", "instruction", answer=True)
    assert thinker.decode(ids) == "<s>Q: Why?\nA: <think>\n\n</think>\n\n"


def test_special_tokens_that_delimit_reasoning_are_read(thinker: Any) -> None:
    import torch
    from tiny import tiny_network

    with torch.device("meta"):
        model = LanguageModel("m", tiny_network(), thinker, PromptTemplate())
    ids = thinker("[THINK]Sky?[/THINK]Blue.<s>", add_special_tokens=False).input_ids
    text = model.decode_completion([5], ids, "instruction")
    assert text == "[THINK]Sky?[/THINK]Blue."
    assert split(text).answer == "Blue."
    plain = thinker("Blue.<s>", add_special_tokens=False).input_ids
    assert model.decode_completion([5], plain, "instruction") == "Blue."
