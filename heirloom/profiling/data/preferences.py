"""Pairs of answers to one question, with the preferences of humans.

Data sets of human preferences come in the formats of their authors; the format of a file follows
from the keys of its rows.
"""

import hashlib
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, BeforeValidator, Field

from heirloom.profiling.data.layouts import Text, parse_row
from heirloom.prompts.rows import Row, read_rows
from heirloom.support.errors import HeirloomError

Label = Literal["first", "second", "tie"]
_OPPOSITE: Mapping[Label, Label] = {"first": "second", "second": "first", "tie": "tie"}


@dataclass(frozen=True)
class Pair:
    """Two answers to one question.

    Attributes:
        id: Unique among all pairs of a study: the source, `/` and what identifies it there.
        source: The data set, or the pool whose teachers answered.
        prompt: The question, or a conversation that ends before an answer.
        first: One answer. It may be empty: annotators had to judge such answers too.
        second: The other one.
        labels: Preference of each annotator; empty where nobody was asked.
    """

    id: str
    source: str
    prompt: str
    first: str
    second: str
    labels: tuple[Label, ...] = ()


def majority(labels: Sequence[Label]) -> Label | None:
    """Return the label that more annotators gave than any other; a tie if there is none such.

    None if there are no labels.

    Example:
        >>> majority(["first", "first", "tie"]), majority(["first", "second"]), majority([])
        ('first', 'tie', None)
    """
    if not labels:
        return None
    (label, count), *others = Counter(labels).most_common()
    return "tie" if others and others[0][1] == count else label


# Reading

_FORMATS_READ = (
    "Preferences are read in the formats of PandaLM, LLMBar, MT-Bench's human judgments, HH-RLHF "
    "and of heirloom's own pairs.jsonl; see docs/metrics/judge.md."
)
# Six answers of PandaLM are "True", which its authors' file holds as JSON's true.
_Answer = Annotated[str, BeforeValidator(lambda v: str(v) if isinstance(v, bool) else v)]


class _Layout(BaseModel):
    """A row of one format. Keys that it does not name are ignored."""

    expected: ClassVar[str]


class _Own(_Layout):
    """A pair as `form_pairs` writes it."""

    expected = "heirloom's own pairs have id, prompt, first, second and, if any, labels."
    id: Text
    prompt: Text
    first: str
    second: str
    labels: tuple[Label, ...] = ()


class _PandaLM(_Layout):
    """WeOpenML/PandaLM, data/testset-v1.json."""

    expected = (
        "PandaLM has instruction, input, response1, response2 and annotator1 to annotator3, which "
        "are 0 for a tie, 1 for the first and 2 for the second response."
    )
    instruction: str
    input: str
    response1: _Answer
    response2: _Answer
    annotator1: Literal[0, 1, 2]
    annotator2: Literal[0, 1, 2]
    annotator3: Literal[0, 1, 2]


class _LLMBar(_Layout):
    """princeton-nlp/LLMBar, Dataset/**/dataset.json: its own sets and those it took over."""

    expected = "LLMBar has input, output_1, output_2 and label, the number of the better output."
    input: Text
    output_1: str
    output_2: str
    label: Literal[1, 2]


class _Message(BaseModel):
    role: str
    content: str


class _MTBench(_Layout):
    """One vote of lmsys/mt_bench_human_judgments on the Hugging Face hub, split `human`."""

    expected = (
        "MT-Bench's judgments have question_id, model_a, model_b, winner (model_a, model_b or "
        "tie), judge, turn (1 or 2), conversation_a and conversation_b, lists of role and content."
    )
    question_id: int | str
    model_a: Text
    model_b: Text
    winner: str = Field(pattern="^(model_a|model_b|tie.*)$")
    judge: Any
    turn: Literal[1, 2]
    conversation_a: list[_Message] = Field(min_length=2)
    conversation_b: list[_Message] = Field(min_length=2)


class _HHRLHF(_Layout):
    """anthropics/hh-rlhf."""

    expected = (
        "HH-RLHF has chosen and rejected: two transcripts that start with the same turns, a "
        "human's first, and continue with different answers."
    )
    chosen: Text
    rejected: Text


def read_pairs(path: Path, source: str) -> list[Pair]:
    """Read the pairs of one file.

    Args:
        path: A file of one of the formats of docs/metrics/judge.md, of any kind that
            `heirloom.prompts.rows.read_rows` reads.
        source: Name of the data set, for the ids of its pairs.

    Returns:
        The pairs in the order of the file. MT-Bench has one row per vote: its votes on the same two
        answers are one pair with several labels.

    Raises:
        HeirloomError: There are no rows, or a row has another format than the first or a value that
            the format does not have: the row is named.
    """
    rows = read_rows(path)
    if not rows:
        raise HeirloomError(f"{path} has no rows. {_FORMATS_READ}")
    keys = set(rows[0].values) if isinstance(rows[0].values, dict) else set()
    for marks, read in _FORMATS:
        if marks <= keys:
            pairs = read(rows, source)
            break
    else:
        raise HeirloomError(f"{rows[0].where}: these are no preferences. {_FORMATS_READ}")
    counts = Counter(pair.id for pair in pairs)
    repeated = next((key for key, count in counts.items() if count > 1), None)
    if repeated is not None:
        raise HeirloomError(f"{path}: the pair {repeated!r} is there twice.")
    return pairs


def _own(rows: Sequence[Row], source: str) -> list[Pair]:
    read = [parse_row(row, _Own, expected=_Own.expected) for row in rows]
    return [Pair(f"{source}/{r.id}", source, r.prompt, r.first, r.second, r.labels) for r in read]


def _pandalm(rows: Sequence[Row], source: str) -> list[Pair]:
    names: tuple[Label, ...] = ("tie", "first", "second")
    pairs = []
    for number, row in enumerate(rows):
        item = parse_row(row, _PandaLM, expected=_PandaLM.expected)
        prompt = "\n\n".join(part for part in (item.instruction, item.input) if part.strip())
        if not prompt:
            raise HeirloomError(f"{row.where}: instruction and input are both empty.")
        votes = (item.annotator1, item.annotator2, item.annotator3)
        labels = tuple(names[vote] for vote in votes)
        pairs.append(
            Pair(f"{source}/{number}", source, prompt, item.response1, item.response2, labels)
        )
    return pairs


def _llmbar(rows: Sequence[Row], source: str) -> list[Pair]:
    pairs = []
    for number, row in enumerate(rows):
        item = parse_row(row, _LLMBar, expected=_LLMBar.expected)
        label: Label = "first" if item.label == 1 else "second"
        pairs.append(
            Pair(f"{source}/{number}", source, item.input, item.output_1, item.output_2, (label,))
        )
    return pairs


def _mt_bench(rows: Sequence[Row], source: str) -> list[Pair]:
    """Group votes by question, models and turn; those on (b, a) become votes on (a, b).

    As FastChat's compute_agreement.py has it, every kind of "tie" is one.
    """
    pairs: dict[str, Pair] = {}
    for row in rows:
        vote = parse_row(row, _MTBench, expected=_MTBench.expected)
        if not isinstance(vote.judge, str) or vote.judge.startswith("gpt"):
            raise HeirloomError(
                f"{row.where}: the judge is {vote.judge}, not a human. Take the split `human`."
            )
        label: Label = (
            "first" if vote.winner == "model_a" else "second" if vote.winner == "model_b" else "tie"
        )
        sides = [(vote.model_a, vote.conversation_a), (vote.model_b, vote.conversation_b)]
        if vote.model_a > vote.model_b:
            sides.reverse()
            label = _OPPOSITE[label]
        prompts, answers = zip(*(_turns(talk, vote.turn) for _, talk in sides), strict=True)
        key = f"{source}/{vote.question_id}-{sides[0][0]}-{sides[1][0]}-{vote.turn}"
        earlier = pairs.get(key)
        labels = (*(earlier.labels if earlier else ()), label)
        pair = Pair(key, source, prompts[0], answers[0], answers[1], labels)
        if prompts[0] != prompts[1] or (
            earlier and (earlier.first, earlier.second) != (pair.first, pair.second)
        ):
            raise HeirloomError(
                f"{row.where}: the conversations do not belong together: another question, or "
                "other answers than in an earlier vote on the same models."
            )
        pairs[key] = pair
    return list(pairs.values())


def _turns(conversation: Sequence[_Message], turn: int) -> tuple[str, str]:
    """Return the first question and the answer; of turn 2 the conversation that followed."""
    names = {"user": "Human", "assistant": "Assistant"}
    question, answer, *rest = conversation[: 2 * turn]
    following = [f"{names.get(m.role, m.role)}: {m.content}" for m in rest]
    return question.content, "\n\n".join([answer.content, *following])


def _hh_rlhf(rows: Sequence[Row], source: str) -> list[Pair]:
    """The turns that both transcripts share at their start are the prompt, the rest the answer.

    The chosen one is always given first: which answer is `first` is drawn, by a hash of the id.
    """
    pairs = []
    for number, row in enumerate(rows):
        item = parse_row(row, _HHRLHF, expected=_HHRLHF.expected)
        talks = [
            re.split(r"\n\n(?=Human:|Assistant:)", text.strip())
            for text in (item.chosen, item.rejected)
        ]
        last = min(len(talk) for talk in talks) - 1
        same = next((i for i in range(last) if talks[0][i] != talks[1][i]), last)
        while same > 0 and not all(talk[same].startswith("Assistant:") for talk in talks):
            same -= 1
        if same == 0:
            raise HeirloomError(
                f"{row.where}: the transcripts do not begin alike. {_HHRLHF.expected}"
            )
        prompt = "\n\n".join(talks[0][:same])
        prompt = prompt.removeprefix("Human: ") if same == 1 else prompt
        chosen, rejected = (
            "\n\n".join(talk[same:]).removeprefix("Assistant:").strip() for talk in talks
        )
        key = f"{source}/{number}"
        if drawn_number(key, 2) == 0:
            pairs.append(Pair(key, source, prompt, chosen, rejected, ("first",)))
        else:
            pairs.append(Pair(key, source, prompt, rejected, chosen, ("second",)))
    return pairs


#: Keys that no other format has, and the function that reads its rows.
_FORMATS: Sequence[tuple[set[str], Callable[[Sequence[Row], str], list[Pair]]]] = (
    ({"prompt", "first", "second"}, _own),
    ({"response1", "response2", "annotator1"}, _pandalm),
    ({"output_1", "output_2", "label"}, _llmbar),
    ({"conversation_a", "conversation_b", "winner"}, _mt_bench),
    ({"chosen", "rejected"}, _hh_rlhf),
)


def drawn_number(key: str, size: int) -> int:
    """Return a number below `size` that depends on `key` alone."""
    return int.from_bytes(hashlib.sha256(key.encode()).digest()[:8]) % size
