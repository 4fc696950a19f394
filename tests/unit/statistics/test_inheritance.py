"""Inheritance coefficients and gains in agreement: by hand, against Fieller, and planted."""

import numpy as np
import pytest
from scipy import stats

from heirloom.statistics.agreement import agreement_gain
from heirloom.statistics.comparisons import compare
from heirloom.statistics.inheritance import UNCLEAR, coefficient
from heirloom.statistics.resampling import mean_of
from heirloom.support.errors import HeirloomError


def by_id(values):
    return {f"e{index:04d}": {"x": value} for index, value in enumerate(values)}


def position(students, base, teacher, **options):
    sides = [by_id(student) for student in students], by_id(base), by_id(teacher)
    return coefficient(*sides, mean_of("x"), ["x"], **{"seed": 1, **options})


BASE = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]


@pytest.mark.parametrize(("moved", "expected"), [(5, 0.5), (0, 0), (-2, -0.2), (15, 1.5)])
@pytest.mark.parametrize("sign", [1, -1])
def test_position_by_hand(moved, expected, sign):
    # Every example moves by the same, and the teacher is 10 away: moved / 10, without any width.
    found = position(
        [[x + sign * moved for x in BASE]], BASE, [x + sign * 10 for x in BASE], resamples=200
    )
    assert (found.value, found.low, found.high) == pytest.approx((expected,) * 3)
    assert (found.moved.value, found.apart.value) == (sign * moved, sign * 10)
    assert (found.moved.treated, found.moved.reference) == (3.5 + sign * moved, 3.5)
    assert (found.apart.treated, found.n, found.reason) == (3.5 + sign * 10, 6, None)


def test_an_example_that_one_of_them_lacks_is_missing():
    # Of the first six, all move by 5 of 10; the seventh would move by 100, but has no teacher.
    found = position(
        [[x + 5 for x in BASE] + [107.0]], [*BASE, 7.0], [x + 10 for x in BASE] + [None]
    )
    assert (found.value, found.n, found.n_missing) == (0.5, 6, 1)


def test_no_position_without_a_clear_difference_of_teacher_and_base():
    # Five examples have no p value below 2^-4, however far teacher and base are apart.
    few = position([BASE[:5]], BASE[:5], [x + 10 for x in BASE[:5]])
    assert (few.value, few.low, few.high, few.reason) == (None, None, None, UNCLEAR)
    assert few.apart.value == 10
    # One of six differences has the other sign.
    mixed = position([BASE], BASE, [x + 1 for x in BASE[:5]] + [BASE[5] - 4])
    assert mixed.value is None and mixed.reason == UNCLEAR
    nothing = position([[None]], [1.0], [2.0])
    assert (nothing.value, nothing.n, nothing.reason) == (None, 0, "no example has a value")
    with pytest.raises(HeirloomError, match="no student"):
        position([], BASE, BASE)


def planted(rng, share, n, *, seeds=1, apart=1.0):
    """Values of students, base and teacher: each answer of a student is one of base or teacher.

    Words of answers, log-normal: an answer of the teacher is longer, and varies more. Examples have
    a part in common, and no two answers are the same draw.
    """
    common = rng.normal(0, 0.5, size=n)

    def answers(share):
        of_teacher = rng.random(n) < share
        return np.exp(4 + common + apart * of_teacher + rng.normal(0, 0.5, size=n))

    return [answers(share) for _ in range(seeds)], answers(0.0), answers(1.0)


@pytest.mark.parametrize("seeds", [1, 3])
@pytest.mark.parametrize("apart", [1.0, -1.0])
def test_ends_are_where_the_contrast_touches_zero(seeds, apart):
    rng = np.random.default_rng(3)
    students, base, teacher = planted(rng, 0.5, 30, seeds=seeds, apart=apart)
    found = position(students, base, teacher, resamples=1000)
    assert found.low < found.value < found.high
    for end in (found.low, found.high):
        between = base + end * (teacher - base)
        sides = [by_id(student) for student in students], [by_id(between)]
        gap, _ = compare(*sides, mean_of("x"), ["x"], seed=1, resamples=1000)
        assert min(abs(gap.low), abs(gap.high)) < 1e-6 < max(abs(gap.low), abs(gap.high))


def test_zero_and_one_are_excluded_where_base_and_teacher_are():
    rng = np.random.default_rng(5)
    verdicts = []
    for share in np.repeat([0.0, 0.25, 0.75, 1.0], 8):
        (student,), base, teacher = planted(rng, share, 40)
        found = position([student], base, teacher, resamples=500)
        for reference, value in ((base, 0), (teacher, 1)):
            sides = [by_id(student)], [by_id(reference)]
            gap, _ = compare(*sides, mean_of("x"), ["x"], seed=1, resamples=500)
            excludes = not found.low <= value <= found.high
            assert excludes == (not gap.low <= 0 <= gap.high)
            verdicts.append(excludes)
    assert 16 < sum(verdicts) < 48


def test_the_interval_of_normal_values_is_fiellers():
    # With the differences N of student and D of teacher to the base, and q of Student's t: the
    # roots of (N - c D)^2 = q^2 (var N - 2 c cov + c^2 var D) / n (Fieller 1954).
    rng = np.random.default_rng(7)
    n = 200
    base = rng.normal(50, 10, n)
    student, teacher = base + rng.normal(3, 10, n), base + rng.normal(6, 10, n)
    found = position([student], base, teacher)
    moved, apart = student - base, teacher - base
    (vn, cov), (_, vd) = np.cov(moved, apart) / n
    q2 = stats.t.ppf(0.975, n - 1) ** 2
    d, e = moved.mean(), apart.mean()
    roots = np.roots([e**2 - q2 * vd, -2 * (d * e - q2 * cov), d**2 - q2 * vn])
    assert found.value == pytest.approx(d / e)
    # 10,000 resamples know the ends to a few percent of the width.
    width = np.ptp(roots)
    assert (found.low, found.high) == pytest.approx(tuple(sorted(roots)), abs=0.04 * width)


def test_planted_mixtures_are_found():
    # 100 simulated studies for each share of the teacher's answers. An interval holds the planted
    # share in 95 %: of all 300 studies with a standard error of sqrt(.95 * .05 / 300) = 1.3 points,
    # of those of one share with 2.2. Three of them around 95 % are 91.2 to 98.8, and 88.5 at least.
    rng = np.random.default_rng(11)
    hits = {
        share: sum(_holds(share, planted(rng, share, 60)) for _ in range(100))
        for share in (0.0, 0.5, 1.0)
    }
    assert 0.912 <= sum(hits.values()) / 300 <= 0.988
    assert min(hits.values()) / 100 >= 0.885


def _holds(share, models):
    found = position(*models, resamples=500)
    # The planted difference is ten standard errors: no study is left out.
    assert found.low is not None and found.high is not None
    return found.low <= share <= found.high


def test_planted_mixtures_of_several_seeds():
    # Three seeds, each with answers of its own: of 60 studies, with a standard error of 2.8 points.
    rng = np.random.default_rng(17)
    hits = sum(_holds(0.5, planted(rng, 0.5, 40, seeds=3)) for _ in range(60))
    assert hits / 60 >= 0.865


# Agreement


def verdicts(letters):
    names = {"f": "first", "s": "second", "t": "tie", "-": None}
    return {f"p{index:04d}": names[letter] for index, letter in enumerate(letters)}


def test_gain_by_hand():
    judge, base = verdicts("ffssfffs"), verdicts("fsfsfft-")
    found = agreement_gain([verdicts("ffsstf-f")], base, judge, seed=1)
    # Pair 7 lacks the base's verdict and pair 6 the student's; pair 4 is the student's tie.
    assert (found.n_missing, found.n_ties, found.gain.n) == (2, 1, 5)
    # Of pairs 0 to 3 and 5, the student is equal to the judge in all, the base in 0, 3 and 5.
    assert (found.gain.treated, found.gain.reference) == (1, 0.6)
    assert found.gain.value == pytest.approx(0.4)
    # The student is equal to its base in those three.
    assert (found.base_lead.treated, found.base_lead.reference) == (0.6, 1)
    assert found.base_lead.value == pytest.approx(-0.4)
    # Of a second seed that is its base, the mean: 0.8 with the judge and 0.8 with the base.
    two = agreement_gain([verdicts("ffsstf-f"), base], base, judge, seed=1)
    assert (two.gain.n, two.gain.n_seeds) == (5, 2)
    assert two.gain.value == pytest.approx(0.2) and two.base_lead.value == pytest.approx(0)


def test_gain_is_found_where_there_is_none_in_five_percent():
    # Base and student agree with the judge on 60 % of 80 pairs, each by itself; 400 studies have a
    # standard error of 1.1 points, three of them around 5 % are 1.7 to 8.3.
    rng = np.random.default_rng(13)
    assert 0.017 <= _found(rng, 0.6, 400) <= 0.083
    # A student that agrees on 85 %: sqrt(80) 0.25 / sqrt(.6 * .4 + .85 * .15) = 3.7 standard
    # errors, beyond 2 of which it is found in 95 % of studies.
    assert _found(rng, 0.85, 60) > 0.9


def _found(rng, share, studies, n=80):
    """Share of studies with p < 0.05 for a student that agrees with the judge by this share."""
    clear = 0
    for _ in range(studies):
        judge = rng.random(n) < 0.5
        base, student = (np.where(rng.random(n) < s, judge, ~judge) for s in (0.6, share))
        given = [verdicts(np.where(side, "f", "s")) for side in (student, base, judge)]
        found = agreement_gain(given[:1], *given[1:], seed=1, resamples=500).gain
        clear += found.p < 0.05
    return clear / studies
