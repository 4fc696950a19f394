"""Options of benchmarks: names of other things in the study file, and what follows from them."""

from typing import Literal

import pytest
from pydantic import Field

from heirloom.profiling import (
    BENCHMARKS,
    DataName,
    Metric,
    MetricName,
    Options,
    PoolName,
    PromptsName,
    benchmark,
)
from heirloom.profiling.options import Needs, Reference, needs, references
from heirloom.support.errors import HeirloomError


class Everything(Options):
    """Every kind of name, in every place that a benchmark may want one."""

    # Neither the default nor the description makes a name of a data set of this.
    note: str = Field("data", description="This option names one of the study's data sets.")
    one: DataName = Field(..., description="A data set.")
    maybe: DataName | None = Field(None, description="A data set or none.")
    several: list[DataName] = Field([], description="Data sets.")
    either: DataName | list[DataName] = Field("e", description="A data set or several.")
    by_task: dict[Literal["rte", "boolq"], DataName] = Field({}, description="Data sets by task.")
    nested: dict[str, list[DataName]] = Field({}, description="Lists of data sets.")
    prompts: PromptsName | None = Field(None, description="A prompt set.")
    scored_by: MetricName | None = Field(None, description="A metric.")
    answers_of: PoolName | None = Field(None, description="A pool.")


def test_names_are_found_wherever_they_stand() -> None:
    values = {
        "note": "n",
        "one": "a",
        "maybe": "b",
        "several": ["c", "d"],
        "either": ["e", "f"],
        "by_task": {"rte": "g"},
        "nested": {"x": ["h", "i"]},
        "prompts": "p",
        "scored_by": "m",
        "answers_of": "o",
    }
    assert list(references(Everything, values)) == [
        Reference("data", "one", "a"),
        Reference("data", "maybe", "b"),
        Reference("data", "several[0]", "c"),
        Reference("data", "several[1]", "d"),
        Reference("data", "either[0]", "e"),
        Reference("data", "either[1]", "f"),
        Reference("data", "by_task.rte", "g"),
        Reference("data", "nested.x[0]", "h"),
        Reference("data", "nested.x[1]", "i"),
        Reference("prompts", "prompts", "p"),
        Reference("metric", "scored_by", "m"),
        Reference("pool", "answers_of", "o"),
    ]


def test_values_of_a_wrong_type_are_passed_over() -> None:
    """The check of the study file reports them; this one reports the names beside them."""
    values = {"one": 3, "several": ["a", 4, None], "by_task": "b", "unknown": "c", "prompts": []}
    assert [(r.path, r.name) for r in references(Everything, values)] == [
        ("several[0]", "a"),
        ("by_task", "b"),
    ]


def test_needs_are_the_names_in_validated_options() -> None:
    assert needs(Everything(one="a")) == Needs(data=("a", "e"))
    options = Everything(
        one="a", several=["b", "a"], either="b", prompts="p", scored_by="m", answers_of="o"
    )
    assert needs(options) == Needs("p", ("m",), "o", ("a", "b"))


def test_what_the_built_in_benchmarks_need() -> None:
    made = {
        "bbq": {"data": ["age", "ses"], "metadata": "table"},
        "calibration": {"openbookqa": "o"},
        "judge": {"data": ["d"], "pool": "both", "prompts": "p"},
        "toxicity": {"prompts": "p", "metric": "m"},
    }
    found = {name: needs(BENCHMARKS.get(name).options(**values)) for name, values in made.items()}
    assert found == {
        "bbq": Needs(data=("age", "ses", "table")),
        "calibration": Needs(data=("o",)),
        "judge": Needs("p", (), "both", ("d",)),
        "toxicity": Needs("p", ("m",)),
    }
    several = BENCHMARKS.get("toxicity").options(prompts="p", metrics=["b", "a"])
    assert needs(several) == Needs("p", ("b", "a"))


def test_a_benchmark_gets_one_pool() -> None:
    class Two(Options):
        first: PoolName = Field(..., description="A pool.")
        second: PoolName = Field(..., description="Another.")

    with pytest.raises(HeirloomError, match="first and second are both pool names"):

        @benchmark("two", options=Two, metrics={"x": Metric("share")})
        def run() -> None:
            """Never registered."""

    assert "two" not in BENCHMARKS
