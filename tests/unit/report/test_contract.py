"""Every registered figure, drawn for the wide toy study."""

import re
import xml.etree.ElementTree as ElementTree

import pytest

from heirloom.report.exhibits import exhibits
from heirloom.report.figures import FIGURES, figure_names

SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(scope="module")
def drawn(wide, wide_built):
    return {
        figure.name: figure.draw(wide_built, wide.plan)
        for figure in FIGURES
        if figure.applies(wide.plan)
    }


def test_every_figure_is_drawn_in_the_order_of_the_report(wide, drawn):
    names = figure_names(wide.plan)
    assert set(names) == set(drawn) == set(FIGURES.names())
    places = [(FIGURES.get(name).order, name) for name in names]
    assert places == sorted(places)


@pytest.mark.parametrize("name", FIGURES.names())
def test_is_well_formed_and_described(drawn, name):
    root = ElementTree.fromstring(drawn[name])
    assert root.tag == f"{SVG}svg"
    described = [root.find(f"{SVG}title"), root.find(f"{SVG}desc")]
    assert all(element is not None and element.text for element in described)
    assert root.get("aria-labelledby").split() == [element.get("id") for element in described]


@pytest.mark.parametrize("name", FIGURES.names())
def test_equal_tables_give_equal_bytes(wide, wide_built, drawn, name):
    assert FIGURES.get(name).draw(wide_built, wide.plan) == drawn[name]
    assert "dc:date" not in drawn[name]


@pytest.mark.parametrize("name", FIGURES.names())
def test_has_a_title_and_a_caption(name):
    exhibit = exhibits([], [name])[name]
    assert exhibit.title and len(exhibit.caption[0]) > 20


@pytest.mark.parametrize("name", FIGURES.names())
def test_text_follows_the_page(drawn, name):
    svg = drawn[name]
    assert "#010203" not in svg and "currentColor" in svg
    # Nothing is painted black or white, which one of the two schemes would hide.
    assert not re.search(r"(fill|stroke): (#000000|#ffffff|black|white)", svg)
    for element in ElementTree.fromstring(svg).iter(f"{SVG}text"):
        assert "fill: currentColor" in element.get("style")


def test_no_id_is_used_twice_on_a_page_with_all_figures(drawn):
    ids = [found for svg in drawn.values() for found in re.findall(r'\bid="([^"]+)"', svg)]
    assert len(ids) == len(set(ids))
    for svg in drawn.values():
        own = set(re.findall(r'\bid="([^"]+)"', svg))
        assert set(re.findall(r'url\(#([^)]+)\)|href="#([^"]+)"', svg)) <= {
            pair for key in own for pair in ((key, ""), ("", key))
        }
