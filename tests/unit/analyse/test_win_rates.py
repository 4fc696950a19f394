"""Win rates and preference leakage of the toy study, by hand."""

from pathlib import Path

import pytest
from toy_study import DATASETS, WIDE, add_verdicts, plan

from heirloom.analyse.results import Results, load_results
from heirloom.analyse.tables import table_names
from heirloom.analyse.tables.preference_leakage import leakage
from heirloom.analyse.tables.win_rates import win_rates
from heirloom.profiling.compare_answers import Contest
from heirloom.report.findings.quality import quality_findings
from heirloom.statistics.comparisons import holm

PASSIVE = {"passive-beta": WIDE["passive-beta"]}

# Win and loss; mostly a win, but not in both orders; no verdict in one order.
ODDS = {"w": (1.0, 1.0), "l": (-1.0, -1.0), "m": (3.0, -1.0), "-": (None, 1.0)}
# Outcomes on e1 to e4, of the first student by each judge; all others are won throughout.
VERDICTS = {
    ("length-alpha", "passive-alpha"): {"alpha": "wwml", "beta": "llll"},
    ("length-alpha", None): {"alpha": "w---", "beta": "----"},
    ("passive-alpha", "passive-beta"): {"alpha": "wwlm", "beta": "wlll"},
}


@pytest.fixture
def results(own_study_folder: Path) -> Results:
    plan({**DATASETS, **PASSIVE}).write(own_study_folder / "plan.json")

    def judge(name: str):  # type: ignore[no-untyped-def]
        def odds(contest: Contest, prompt: str) -> tuple[float | None, float | None]:
            sets = [m.split(".")[1] if "." in m else None for m in (contest.model, contest.other)]
            found = VERDICTS.get((sets[0], sets[1]), {name: "wwww"})[name]  # type: ignore[arg-type]
            return ODDS[found[int(prompt[1]) - 1]]

        return odds

    return load_results(add_verdicts(own_study_folder, {j: judge(j) for j in ("alpha", "beta")}))


def test_win_rates_by_hand(results: Results) -> None:
    table = win_rates(results)
    # Seven students against the base, three against a control; two judges.
    assert len(table) == 2 * (7 + 3)
    found = table.set_index(["judge", "student", "against"])
    row = found.loc[("alpha", "alpha.length-alpha", "control")]
    # Two wins, a tie and a loss; the tie is a win by the mean of both orders.
    assert (row.n, row.n_missing, row.wins, row.ties, row.losses) == (4, 0, 50, 25, 25)
    assert row.win_rate == (2 * 100 + 50) / 4 and row.balanced_win_rate == 75
    assert row.win_rate_low < 50 < row.win_rate < row.win_rate_high
    assert row.orders_agree == 75 and row.equal == 0
    assert row.relation == "base and teacher"
    # Lost on all of them: p is 2^(1 - 4), and that of the others likewise or not below 0.05.
    lost = found.loc[("beta", "alpha.length-alpha", "control")]
    assert (lost.win_rate, lost.win_rate_low, lost.win_rate_high) == (0, 0, 0)
    assert lost.p == 2**-3 and lost.relation == ""
    family = found.xs(("beta", "control"), level=("judge", "against"))
    assert list(family.p_holm) == pytest.approx(holm(list(family.p)))
    assert found.loc[("beta", "alpha.length-multi", "base")].relation == "teacher"
    # One verdict has no interval, none has no rate: null, and counted.
    single = found.loc[("alpha", "alpha.length-alpha", "base")]
    assert (single.n, single.n_missing, single.win_rate) == (1, 3, 100)
    assert single[["win_rate_low", "p", "p_holm"]].isna().all()
    nothing = found.loc[("beta", "alpha.length-alpha", "base")]
    assert (nothing.n, nothing.n_missing) == (0, 4)
    assert nothing[["win_rate", "wins", "ties", "orders_agree", "balanced_win_rate"]].isna().all()


def test_leakage_by_hand(results: Results) -> None:
    (row,) = leakage(results).itertuples()
    assert (row.student, row.other) == ("alpha.passive-alpha", "alpha.passive-beta")
    assert (row.judge, row.other_judge, row.n, row.n_missing) == ("alpha", "beta", 4, 0)
    assert (row.wins_by_judge, row.wins_by_other_judge) == (50, 25)
    assert (row.losses_by_judge, row.losses_by_other_judge) == (25, 75)
    # (1/2 - 3/8) / (3/8) = 1/3 and (3/4 - 1/2) / (1/2) = 1/2.
    assert row.leakage == pytest.approx(100 * (1 / 3 + 1 / 2) / 2)
    # With the fourth prompt won by alpha: 3/4 against 1/4 for both.
    assert row.balanced_leakage == pytest.approx(50)


def test_only_a_study_with_judges_has_the_tables() -> None:
    assert not {"win_rates", "preference_leakage"} & set(table_names(plan()))
    one, both = ({"compare_answers": {"judges": j}} for j in (["alpha"], ["alpha", "beta"]))
    assert "preference_leakage" not in table_names(plan({**DATASETS, **PASSIVE}, **one))
    # Without another student that differs in its teacher alone.
    assert "preference_leakage" not in table_names(plan(**both))
    there = table_names(plan({**DATASETS, **PASSIVE}, **both))
    assert there.index("win_rates") + 1 == there.index("preference_leakage")


def test_findings_by_hand(results: Results) -> None:
    tables = {"win_rates": win_rates(results), "preference_leakage": leakage(results)}
    price, agree, leak = quality_findings(results.plan, tables)
    # Of four prompts no p is below 1/8. Rates by alpha and by beta: 62.5, 100, 100; 0, 100, 100.
    assert price == (
        "Steering is not shown to cost quality as judged by alpha and beta: in 0 of 6 comparisons "
        "with the random control the steered student loses and in 0 it wins, with p < 0.05 after "
        "Holm's correction. The mean win rate is 77.1 %; 50 % is no difference."
    )
    # Of alpha's ten rows one has 75 %.
    assert agree == (
        "Both orders of the answers agree on 97.5 % (alpha) and 100 % (beta) of the pairs; the "
        "others count as ties, which draws win rates to 50 %."
    )
    assert leak.startswith(
        "Preference leakage of alpha and beta as judges of passive-alpha and passive-beta: +41.7 %"
    )
    sure = tables["win_rates"].assign(p_holm=0.01, orders_agree=20.0)
    price, _, weak, _ = quality_findings(results.plan, tables | {"win_rates": sure})
    assert price.startswith("Steering cost quality in some students and improved it in others as")
    assert "in 1 of 6 comparisons with the random control the steered student loses " in price
    assert "(length-alpha 0 % [0, 0] by beta)" in price and "in 5 it wins (length-alpha" in price
    assert weak.startswith("alpha and beta go by the position of an answer more often")
    assert quality_findings(results.plan, {}) == []
