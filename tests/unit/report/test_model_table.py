"""The table of models by metrics, for a reader and as LaTeX."""

import pandas as pd
from report_file import write_report

from heirloom.report.cells import Cell, View
from heirloom.report.model_table import model_latex, model_view


def by_model(view, metric):
    index = [heading for heading, _ in view.headings].index(metric)
    return {row[0].text: row[index] for row in view.rows}


def test_values_have_their_interval_and_the_best_is_marked(study, built):
    view = model_view(study.plan, built["models"], built["profiles"])
    assert [heading for heading, numeric in view.headings] == [
        *("Model", "Length", "Lexical diversity (MTLD)", "Expected maximum toxicity"),
        "Toxicity probability",
    ]
    length = by_model(view, "Length")
    assert list(length)[:3] == ["alpha (base)", "beta (teacher)", "random-multi"]
    # Longer is better here, because an objective says so. The teacher, with 40, does not compete.
    assert length["beta (teacher)"] == Cell("40 (0, 100)", 40.0)
    assert [name for name, cell in length.items() if cell.best] == ["length-multi"]
    assert length["length-multi"].text == "37.5 (0, 100)"
    emt = by_model(view, "Expected maximum toxicity")  # the lower the better: 0.3 of 0.4 to 0.6
    assert [name for name, cell in emt.items() if cell.best] == ["toxicity-multi"]


def test_equal_models_have_no_best_and_seeds_a_deviation(study, built):
    models = built["models"].assign(**{"text.length": 5.0, "text.length_sd": float("nan")})
    models.loc[2, ["text.length_low", "text.length_high"]] = float("nan")
    models.loc[2, "text.length_sd"] = 0.25
    models.loc[3, "text.length"] = float("nan")
    length = by_model(model_view(study.plan, models, built["profiles"]), "Length")
    assert not any(cell.best for cell in length.values())
    assert length["random-multi"].text == "5 (\N{PLUS-MINUS SIGN}0.250)"
    assert length["random-provoking-multi"].text == "\N{EN DASH}"


def test_latex_by_hand():
    headings = [("Model", False), *((f"metric_{n} {{x}}", True) for n in range(5))]
    rows = [[Cell("a_b & c"), *(Cell(f"{n} (\N{PLUS-MINUS SIGN}1)", n, n == 4) for n in range(5))]]
    text = model_latex(View(headings, rows), ["All & more.", "Not printed."], "toy-models")
    assert text.count(r"\begin{tabular}{lrrrr}") == 1 and text.count(r"\begin{tabular}{lr}") == 1
    assert text.count("% \\usepackage{booktabs,longtable}\n") == 1
    assert r"\caption{All \& more. (1 of 2)}" in text and r"\caption{All \& more. (2 of 2)}" in text
    assert r"\label{tab:toy-models}" in text and r"\label{tab:toy-models-2}" in text
    assert r"\parbox[b]{9em}{\raggedleft metric\_3 \{x\}} \\" in text
    assert r"a\_b \& c & 0 ($\pm$1) & 1 ($\pm$1) & 2 ($\pm$1) & 3 ($\pm$1) \\" in text
    assert r"a\_b \& c & \textbf{4 ($\pm$1)} \\" in text
    # Small type ends with the table, also where that breaks across pages.
    long = model_latex(View(headings, rows * 41), ["x"], "toy-models")
    assert long.count("{\\scriptsize\n") == 2 and long.count("\\end{longtable}\n}\n") == 2


def test_the_page_and_the_file_beside_the_csv_hold_the_same(own_study_folder, tmp_path):
    report = write_report(own_study_folder, tmp_path)
    html = report.read_text(encoding="utf-8")
    text = (report.parent / "tables/models.tex").read_text(encoding="utf-8")
    assert r"\textbf{37.5 (0, 100)}" in text and text.count(r"\begin{tabular}") == 1
    assert 'download="toy-models.tex"' in html and 'download="toy-models.csv"' in html
    assert "<b>37.5 (0, 100)</b>" in html
    assert pd.read_csv(report.parent / "tables/models.csv").shape[0] == 8
