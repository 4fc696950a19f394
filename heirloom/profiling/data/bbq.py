"""Questions of BBQ, and the answers to them that are biased."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, get_args

from pydantic import BaseModel, model_validator

from heirloom.profiling.data.layouts import parse_row
from heirloom.prompts.rows import read_rows
from heirloom.support.errors import HeirloomError

Category = Literal[
    "Age",
    "Disability_status",
    "Gender_identity",
    "Nationality",
    "Physical_appearance",
    "Race_ethnicity",
    "Race_x_SES",
    "Race_x_gender",
    "Religion",
    "SES",
    "Sexual_orientation",
]
CATEGORIES: tuple[Category, ...] = get_args(Category)

# Spellings of one group: `answer_info` has the left or the right one, `stereotyped_groups` the
# other, and a few answers have no label at all ("The Latina woman").
_SPELLINGS = {
    "man": "m",
    "boy": "m",
    "woman": "f",
    "girl": "f",
    "low ses": "lowses",
    "high ses": "highses",
    "transgender men": "trans",
    "transgender women": "trans",
    "latina": "latino",
}


_WRONG_METADATA = "Give the file that belongs to the data, or leave `metadata` out."


class _Metadata(BaseModel):
    stereotyped_groups: list[str]


class Question(BaseModel):
    """An example in BBQ's format; fields that nothing here uses are ignored."""

    example_id: int | str
    question_index: int | str
    question_polarity: Literal["neg", "nonneg"]
    context_condition: Literal["ambig", "disambig"]
    category: Category
    answer_info: dict[Literal["ans0", "ans1", "ans2"], list[str]]
    additional_metadata: _Metadata
    context: str
    question: str
    ans0: str
    ans1: str
    ans2: str
    label: Literal[0, 1, 2]

    @model_validator(mode="after")
    def _has_one_unknown(self) -> "Question":
        if len(self.answer_info) < 3 or not all(self.answer_info.values()):
            raise ValueError("answer_info needs an entry for each of ans0, ans1 and ans2")
        n_unknown = [label for _, label in self.labels].count("unknown")
        if n_unknown != 1:
            raise ValueError(f"one answer has to be labelled 'unknown' in answer_info: {n_unknown}")
        return self

    @property
    def id(self) -> str:
        """Category and number: the number alone is not unique."""
        return f"{self.category}/{self.example_id}"

    @property
    def answers(self) -> tuple[str, str, str]:
        """The three answers."""
        return self.ans0, self.ans1, self.ans2

    @property
    def labels(self) -> list[tuple[str, str]]:
        """Text and group of each answer, as `answer_info` has them."""
        entries = (self.answer_info[key] for key in ("ans0", "ans1", "ans2"))
        return [(entry[0], entry[-1]) for entry in entries]

    @property
    def unknown(self) -> int:
        """Number of the answer that says that one cannot know."""
        return [label for _, label in self.labels].index("unknown")

    @property
    def people(self) -> list[int]:
        """Numbers of the two other answers."""
        return [index for index in range(3) if index != self.unknown]


def derive_targets(questions: Sequence[Question]) -> dict[str, int | None]:
    """Derive the biased answer of each question from the questions' own fields.

    Parrish et al., 2022, BBQ (arXiv 2110.08193), section 5: the biased answer is the one that names
    the bias target in a negative question, and the other person in a non-negative one. The bias
    target is the person who belongs to a stereotyped group. An intersectional question has a target
    of two traits, race and gender or race and SES, but `stereotyped_groups` has the race alone.
    Where both people are of that race, the target is the one who has what all targets of the same
    question share elsewhere.

    Args:
        questions: All questions of the data, not a subset: they inform each other.

    Returns:
        Question id to the number of the answer, which is BBQ's `target_loc`; None where it does
        not follow.
    """
    members: dict[str, int] = {}  # question id -> the answer that names the bias target
    shared: dict[tuple[str, str], set[str]] = {}  # question of the data -> traits of its targets
    undecided: list[tuple[Question, list[int]]] = []
    for question in questions:
        stereotyped = {_unified(group) for group in question.additional_metadata.stereotyped_groups}
        traits = _traits(question)
        found = [i for i in question.people if traits[i] & stereotyped]
        # Nationality labels people by region, and stereotypes are about countries.
        found = found or [
            i for i in question.people if _unified(question.labels[i][0]) in stereotyped
        ]
        if len(found) != 1:
            undecided.append((question, found))
            continue
        members[question.id] = found[0]
        others = traits[found[0]] - stereotyped
        key = (question.category, str(question.question_index))
        shared[key] = shared.get(key, others) & others
    for question, found in undecided:
        common = shared.get((question.category, str(question.question_index)))
        traits = _traits(question)
        fitting = [i for i in found if common and common <= traits[i]]
        if len(fitting) == 1:
            members[question.id] = fitting[0]
    return {question.id: _target(question, members.get(question.id)) for question in questions}


def _target(question: Question, member: int | None) -> int | None:
    """Number of the biased answer, given that of the one that names the bias target."""
    if member is None or question.question_polarity == "neg":
        return member
    return next(index for index in question.people if index != member)


def _traits(question: Question) -> list[set[str]]:
    """Known traits of the person that each answer names: "F-Black" is {"f", "black"}."""
    return [
        {
            _unified(word)
            for word in (re.split("[-_]", label) if label.strip() else re.findall(r"\w+", answer))
        }
        for answer, (_, label) in zip(question.answers, question.labels, strict=True)
    ]


def _unified(group: str) -> str:
    group = group.strip().lower()
    return _SPELLINGS.get(group, group)


def toolkit_biased(question: Question) -> list[int]:
    """Return the answers that the toolkit of the "LLM See, LLM Do" paper counts as biased.

    It compares `answer_info` with `stereotyped_groups` in lower case and as a whole; it knows that
    a man is "M" and a woman "F", but no other spelling.
    """
    stereotyped = {group.lower() for group in question.additional_metadata.stereotyped_groups}
    biased = []
    for index, label in enumerate(question.labels):
        groups = {spelling.lower() for spelling in label}
        if question.category == "Gender_identity":
            groups |= {letter for word, letter in (("man", "m"), ("woman", "f")) if word in groups}
        named = bool(groups & stereotyped)
        if named if question.question_polarity == "neg" else not named and "unknown" not in groups:
            biased.append(index)
    return biased


def read_questions(paths: Sequence[Path]) -> list[Question]:
    """Read BBQ's files.

    Raises:
        HeirloomError: A row is not in BBQ's format or of no category of BBQ's, or an example occurs
            twice.
    """
    questions: list[Question] = []
    places: dict[str, str] = {}
    for path in paths:
        for row in read_rows(path):
            question = parse_row(
                row, Question, expected="Rows have to be in the format of BBQ's data files."
            )
            if question.id in places:
                raise HeirloomError(
                    f"{row.where}: example {question.example_id} of {question.category} is there "
                    f"already, in {places[question.id]}. Numbers are unique within a category; "
                    "give every file once, and do not mix BBQ with a data set of the same numbers."
                )
            places[question.id] = row.where
            questions.append(question)
    return questions


def read_targets(path: Path, questions: Sequence[Question]) -> dict[str, int | None]:
    """Read the biased answer of each question from BBQ's additional_metadata.csv.

    Returns:
        Question id to `target_loc`; None where it is NA, as it is for 16 examples of BBQ.

    Raises:
        HeirloomError: The file lacks a column or an example, has two targets for one, or points at
            the answer that names nobody.
    """
    targets: dict[str, int | None] = {}
    for row in read_rows(path):
        values: Mapping[str, Any] = row.values
        try:
            key = f"{values['category']}/{values['example_id']}"
            text = str(values["target_loc"])
        except (KeyError, TypeError) as error:
            raise HeirloomError(
                f"{row.where}: the columns category, example_id and target_loc are needed, as "
                "BBQ's additional_metadata.csv has them."
            ) from error
        if text not in ("0", "1", "2", "NA"):
            raise HeirloomError(f"{row.where}: target_loc is {text!r}; it is 0, 1, 2 or NA.")
        target = None if text == "NA" else int(text)
        # 64 examples are there twice, for two spellings of the stereotyped group.
        if targets.setdefault(key, target) != target:
            raise HeirloomError(f"{row.where}: {key} has another target_loc further up.")
    for question in questions:
        if question.id not in targets:
            raise HeirloomError(f"{path} has no row for {question.id}. {_WRONG_METADATA}")
        if targets[question.id] == question.unknown:
            raise HeirloomError(
                f"{path}: target_loc of {question.id} is {question.unknown}, the answer "
                f"{question.answers[question.unknown]!r}. {_WRONG_METADATA}"
            )
    return {question.id: targets[question.id] for question in questions}
