"""Draw the README's pictures from a run of the default study.

    python -m docs.draw_pictures results/pocket    (make pictures)

`docs/pictures/figure1.svg` is figure 1 of that run's report; `docs/pictures/dag.svg` shows the
rules that ran and, for those whose cost is measured, their numbers of jobs.
"""

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
PICTURES = ROOT / "docs/pictures"
# Rules that only list what others made: an arrow from everything to them would hide the rest.
LEFT_OUT = ("all", "plan", "costs", "crate", "cards", "published_numbers")
# Two steps of one stage, drawn as one box.
JOINED = {"gather_candidates": "generate", "gather_scores": "score"}
_WIDTH, _HEIGHT = 1.5, 0.56  # of a box


def rule_graph(snakemake: Path) -> Any:
    """The graph of rules of the default study, an edge from each to those that use its output."""
    import networkx

    done = subprocess.run(
        [snakemake, "--rulegraph", "mermaid-js"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    names: dict[str, str] = {}
    graph = networkx.DiGraph()
    for line in map(str.strip, done.stdout.splitlines()):
        if line.startswith("id") and "[" in line:
            key, _, label = line.partition("[")
            names[key] = label.rstrip("]")
        elif " --> " in line:
            graph.add_edge(*(names[key] for key in line.split(" --> ")))
    graph.remove_nodes_from(LEFT_OUT)
    graph = networkx.relabel_nodes(graph, JOINED)
    graph.remove_edges_from(list(networkx.selfloop_edges(graph)))
    return networkx.transitive_reduction(graph)


def jobs_of(study: Path) -> dict[str, int]:
    """Rule to the number of its jobs, from the measurements that Snakemake wrote."""
    import pandas as pd

    table = pd.read_csv(study / "tables/costs.csv")
    return {str(stage): int(jobs) for stage, jobs in table.groupby("stage")["jobs"].sum().items()}


def places(graph: Any) -> dict[str, tuple[float, float]]:
    """Place of every rule: columns by the longest way to it, rows near those it depends on."""
    import networkx

    rows: dict[str, float] = {}
    found: dict[str, tuple[float, float]] = {}
    for column, generation in enumerate(networkx.topological_generations(graph)):
        wish = {
            rule: sum(rows[other] for other in graph.predecessors(rule))
            / max(1, graph.in_degree(rule))
            for rule in generation
        }
        ordered = sorted(generation, key=lambda rule: (-wish[rule], rule))
        middle = sum(wish.values()) / len(wish) if column else 0.0
        for index, rule in enumerate(ordered):
            rows[rule] = middle + (len(ordered) - 1) / 2 - index
            found[rule] = (column * 1.95, rows[rule] * 0.85)
    return found


def draw_dag(graph: Any, jobs: Mapping[str, int]) -> str:
    """The graph as SVG text: a box per rule, an arrow to each rule that uses its output."""
    from matplotlib.figure import Figure
    from matplotlib.patches import FancyBboxPatch, PathPatch
    from matplotlib.path import Path as Curve

    from heirloom.report.figures.drawing import svg

    place = places(graph)
    xs, ys = zip(*place.values(), strict=True)
    size = (max(xs) - min(xs) + 2 * _WIDTH, max(ys) - min(ys) + 3 * _HEIGHT)
    figure = Figure(figsize=(size[0] * 0.62, size[1] * 0.72))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(min(xs) - _WIDTH, max(xs) + _WIDTH), ylim=(min(ys) - 0.6, max(ys) + 0.6))
    axes.axis("off")
    for rule, user in graph.edges:
        (x0, y0), (x1, y1) = place[rule], place[user]
        x0, x1 = x0 + _WIDTH / 2, x1 - _WIDTH / 2
        points = [(x0, y0), ((x0 + x1) / 2, y0), ((x0 + x1) / 2, y1), (x1, y1)]
        curve = Curve(points, [Curve.MOVETO, *[Curve.CURVE4] * 3])
        axes.add_patch(PathPatch(curve, fill=False, edgecolor="#9a9a9a", linewidth=1.2, zorder=1))
    for rule, (x, y) in place.items():
        corner = (x - _WIDTH / 2, y - _HEIGHT / 2)
        box = FancyBboxPatch(
            corner,
            _WIDTH,
            _HEIGHT,
            boxstyle="round,pad=0,rounding_size=0.12",
            facecolor="#e8f0f7",
            edgecolor="#31688e",
            zorder=2,
        )
        axes.add_patch(box)
        count = f"\n{jobs[rule]} jobs" if jobs.get(rule, 0) > 1 else ""
        axes.text(x, y, f"{rule.replace('_', ' ')}{count}", ha="center", va="center", fontsize=8)
    order = sorted(place, key=lambda rule: place[rule][0])
    said = "From left to right: " + ", ".join(rule.replace("_", " ") for rule in order) + "."
    return svg(figure, name="dag", title="Rules of the default study", description=said)


def on_white(picture: str) -> str:
    """The picture on a white ground: its ink is that of the page, which a README does not set."""
    opening = picture.index("</desc>") + len("</desc>")
    ground = '<rect width="100%" height="100%" fill="white"/>'
    return picture[:opening] + ground + picture[opening:]


def draw(study: Path, snakemake: Path) -> None:
    """Write both pictures."""
    PICTURES.mkdir(exist_ok=True)
    figure1 = (study / "figures/figure1.svg").read_text(encoding="utf-8")
    dag = draw_dag(rule_graph(snakemake), jobs_of(study))
    for name, picture in (("figure1", figure1), ("dag", dag)):
        (PICTURES / f"{name}.svg").write_text(on_white(picture), encoding="utf-8")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("Name the results of a study: python -m docs.draw_pictures results/pocket")
    draw(Path(sys.argv[1]), Path(sys.executable).with_name("snakemake"))
