"""The report as a reader meets it: in a browser, on wide and narrow windows, in light and dark."""

import json
from xml.etree import ElementTree

import pytest
from browser import browser, chromium
from report_file import write_report
from toy_study import SCRIPT

pytestmark = pytest.mark.skipif(
    chromium() is None, reason="no Chromium here: nobody has looked at the report's page"
)

NARROW, WIDE = (390, 844), (1280, 900)
DASH = "\N{EN DASH}"


@pytest.fixture(scope="module")
def file(wide_study_folder, tmp_path_factory):
    return write_report(wide_study_folder, tmp_path_factory.mktemp("page"), compared=True)


@pytest.fixture(scope="module")
def tab(tmp_path_factory):
    with browser(tmp_path_factory.mktemp("profile")) as page:
        yield page


@pytest.fixture
def page(tab, file):
    """The report just loaded in a wide, light window."""
    tab.show(*WIDE, "light")
    tab.open(file)
    return tab


def texts(page, selector):
    return page.run(
        f"[...document.querySelectorAll({json.dumps(selector)})].map(e => e.textContent.trim())"
    )


def click(page, selector):
    page.run(f"document.querySelector({json.dumps(selector)}).click()")


def put(page, selector, value):
    """Type into a field, or choose in a list."""
    page.run(
        f"{{ const field = document.querySelector({json.dumps(selector)});"
        f"field.value = {json.dumps(value)};"
        "field.dispatchEvent(new Event('input', { bubbles: true })); }"
    )


def test_no_complaint_and_no_request(page, file):
    # Everything that scripts react to, so that all of them have run.
    page.run("document.querySelectorAll('details').forEach(d => { d.open = true; })")
    page.run("document.querySelectorAll('thead button').forEach(b => b.click())")
    page.run("scrollTo(0, document.body.scrollHeight)")
    page.run("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
    assert page.errors == []
    asked = {address for address in page.requests if not address.startswith(("data:", "blob:"))}
    assert asked <= {"about:blank", file.as_uri()}


def test_the_test_sees_complaints(tab, tmp_path):
    (tmp_path / "bad.html").write_text(
        "<script>console.error('x')</script><img src='http://127.0.0.1:9/a.png'>", encoding="utf-8"
    )
    before = len(tab.errors)
    tab.open(tmp_path / "bad.html")
    assert len(tab.errors) > before and "http://127.0.0.1:9/a.png" in tab.requests
    tab.errors.clear()
    tab.requests.clear()


def test_every_link_and_label_has_its_target(page):
    broken = page.run(
        "[...document.querySelectorAll('a[href^=\"#\"], label[for], [aria-labelledby]')]"
        ".flatMap(e => (e.hash?.slice(1) ?? e.htmlFor ?? e.getAttribute('aria-labelledby'))"
        ".split(' ')).filter(id => !document.getElementById(decodeURIComponent(id)))"
    )
    assert broken == []
    assert page.run("document.querySelectorAll('nav a').length") > 15
    # Whatever can be operated has a name.
    unnamed = page.run(
        "[...document.querySelectorAll('button, input, select')]"
        ".filter(e => !e.textContent.trim() && !e.labels?.length).length"
    )
    assert unnamed == 0


def test_the_section_in_view_is_marked_and_folded_targets_open(page):
    page.run("document.documentElement.style.scrollBehavior = 'auto'")
    page.run("document.getElementById('limits').scrollIntoView()")
    page.run("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
    (current,) = texts(page, "nav [aria-current]")
    assert current in ("Limits", "Reproduce")
    page.run("new Promise(done => { addEventListener('hashchange', done); "
             "location.hash = 'benchmark-bbq-all'; })")  # fmt: skip
    assert page.run("document.getElementById('benchmark-bbq-all').closest('details').open")


def test_a_click_on_a_heading_sorts_and_missing_values_stay_last(page):
    headings = texts(page, "#changes-main thead th")
    column = headings.index("Change against control") + 1
    cells = f"#changes-main tbody td:nth-child({column})"
    heading = f"#changes-main thead th:nth-child({column})"
    assert DASH in texts(page, cells)

    def numbers():
        shown = texts(page, cells)
        known = [text for text in shown if text != DASH]
        assert shown == known + [DASH] * (len(shown) - len(known))
        return [float(t.split(" ")[0].replace("\N{MINUS SIGN}", "-")) for t in known]

    click(page, f"{heading} button")
    assert numbers() == sorted(numbers()) and len(set(numbers())) > 2
    assert page.run(f"document.querySelector('{heading}').ariaSort") == "ascending"
    click(page, f"{heading} button")
    assert numbers() == sorted(numbers(), reverse=True)
    assert page.run(f"document.querySelector('{heading}').ariaSort") == "descending"
    click(page, "#changes-main thead th button")
    names = texts(page, "#changes-main tbody th")
    assert names == sorted(names)
    assert page.run("document.querySelectorAll('#changes-main [aria-sort]').length") == 1


def test_long_tables_can_be_filtered(page):
    rows = "#benchmark-bbq-all tbody tr"
    everything = texts(page, rows)
    field = "details:has(#benchmark-bbq-all) .filter input"
    put(page, field, "beta accuracy")
    shown = texts(page, f"{rows}:not([hidden])")
    assert shown == [t for t in everything if "beta" in t.lower() and "accuracy" in t.lower()]
    assert 0 < len(shown) < len(everything)
    assert f"{len(shown)} of {len(everything)} rows" in texts(page, ".filter [role=status]")
    put(page, field, "")
    assert len(texts(page, f"{rows}:not([hidden])")) == len(everything)


def found(page):
    """Candidates that the browser of the instructions shows: (teacher, sample, reasons) each."""
    return [
        tuple(entry)
        for entry in page.run(
            "[...document.querySelectorAll('#pool-instructions .answer')].map(a => ["
            "a.querySelector('.who b').textContent, a.querySelector('.who span').textContent,"
            "[...a.querySelectorAll('.why li')].map(r => r.textContent)])"
        )
    ]


LENGTH_MULTI = "length-multi: highest length of 4 candidates, 40"


def test_every_candidate_can_be_found_with_who_chose_it_and_why(page):
    entries = found(page)
    assert len(entries) == 8  # two prompts, two teachers, two samples
    assert entries[0][:2] == ("alpha", "sample 0")
    assert entries[0][2][0] == "passive-alpha: the first of 2 candidates that may be selected"
    assert entries[2][:2] == ("beta", "sample 0") and LENGTH_MULTI in entries[2][2]
    put(page, "#pool-instructions-set", "3")  # length-multi
    put(page, "#pool-instructions-prompt", "p1")
    assert [entry[2] for entry in found(page)] == [[], [], [LENGTH_MULTI], []]
    click(page, "#pool-instructions-chosen")
    assert found(page) == [("beta", "sample 0", [LENGTH_MULTI])]
    assert texts(page, "#pool-instructions .status") == ["1 candidate for 1 of 2 prompts"]


def test_candidates_are_searched_filtered_and_ordered(page):
    put(page, "#pool-instructions-words", "ALERT('out')")
    assert [entry[:2] for entry in found(page)] == [("beta", "sample 0")]
    # The completion's markup is text, and the words that were searched are marked in it.
    assert texts(page, "#pool-instructions mark") == ["alert('out')"]
    assert texts(page, "#pool-instructions blockquote")[0].startswith(SCRIPT)
    put(page, "#pool-instructions-words", "")
    put(page, "#pool-instructions-teacher", "1")
    assert {entry[0] for entry in found(page)} == {"beta"}
    put(page, "#pool-instructions-teacher", "")
    put(page, "#pool-instructions-order", "0 down")
    # p1: 40, 20, 10 and 5 words; p2: 30, 30, 25 and 0.
    assert [entry[:2] for entry in found(page)][:4] == [
        ("beta", "sample 0"), ("alpha", "sample 1"), ("alpha", "sample 0"), ("beta", "sample 1"),
    ]  # fmt: skip
    put(page, "#pool-instructions-words", "no such words")
    assert found(page) == []


def test_offensive_candidates_wait_behind_the_warning(page):
    assert page.run(
        "document.querySelector('#pool-provoking').closest('details.warning').open"
    ) is (False)
    assert page.run("document.querySelector('#pool-provoking .found').checkVisibility()") is False
    assert page.run("document.querySelector('#pool-instructions .found').checkVisibility()")


def test_without_scripts_the_samples_stand_in_the_page(page, file):
    assert not page.run("document.querySelector('.standing').checkVisibility()")
    page.call("Emulation.setScriptExecutionDisabled", value=True)
    try:
        page.open(file)
        assert page.run("document.querySelector('.standing').checkVisibility()")
        assert not page.run("document.querySelector('.pool').checkVisibility()")
    finally:
        page.call("Emulation.setScriptExecutionDisabled", value=False)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [320, 390, 768, 1280, 2200])
def test_nothing_sticks_out(page, width, scheme):
    page.show(width, 844, scheme)
    page.run("document.querySelectorAll('details').forEach(d => { d.open = true; })")
    assert page.run("document.documentElement.scrollWidth") <= width
    # Nothing is cut off either: what is wider than the page scrolls by itself.
    outside = page.run(
        "[...document.querySelectorAll('main *')].filter(e => !e.closest('.scroll, pre, svg')"
        f" && e.getBoundingClientRect().right > {width} + 1).map(e => e.outerHTML.slice(0, 80))"
    )
    assert outside == []
    assert page.errors == []


CONTRAST = """(() => {
  const style = getComputedStyle(document.documentElement);
  const light = name => {
    const hex = style.getPropertyValue(name).trim().replace(/^#(.)(.)(.)$/, "#$1$1$2$2$3$3");
    const parts = [1, 3, 5].map(i => parseInt(hex.slice(i, i + 2), 16) / 255)
      .map(c => c <= .04045 ? c / 12.92 : ((c + .055) / 1.055) ** 2.4);
    return .2126 * parts[0] + .7152 * parts[1] + .0722 * parts[2];
  };
  const pairs = [["--ink", "--mark"]];
  for (const text of ["--ink", "--soft", "--link", "--clear", "--against"])
    for (const behind of ["--paper", "--tint"]) pairs.push([text, behind]);
  return pairs.map(([text, behind]) => {
    const [a, b] = [light(text), light(behind)].sort((x, y) => y - x);
    return [text, behind, (a + .05) / (b + .05)];
  });
})()"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out_from_what_is_behind_it(page, scheme):
    page.show(*WIDE, scheme)
    ratios = page.run(CONTRAST)
    assert len(ratios) == 11
    # WCAG 2.2, success criterion 1.4.3: 4.5 to 1.
    assert [entry for entry in ratios if entry[2] < 4.5] == []
    dark = page.run("getComputedStyle(document.body).backgroundColor") == "rgb(22, 24, 27)"
    assert dark == (scheme == "dark")


def test_figures_have_alternative_texts_and_can_be_saved(page):
    described = page.run(
        "[...document.querySelectorAll('figure svg')].map(svg => svg.getAttribute('role') === 'img'"
        " && svg.getAttribute('aria-labelledby').split(' ')"
        ".every(id => document.getElementById(id).textContent.trim().length > 20))"
    )
    assert described and all(described)
    page.run("URL.createObjectURL = blob => { window.saved = blob; return 'blob:none'; }")
    page.run("HTMLAnchorElement.prototype.click = function () { window.name = this.download; }")
    click(page, "#figure1 [data-drawing]")
    text = page.run("window.saved.text()")
    assert page.run("window.name") == "figure1.svg"
    assert "currentColor" not in text
    drawing = ElementTree.fromstring(text)
    assert drawing.tag == "{http://www.w3.org/2000/svg}svg" and drawing.get("viewBox")


def test_on_paper(page):
    page.show(718, 1000, "dark")  # the text of a page of A4 with margins of 1 cm
    page.call("Emulation.setEmulatedMedia", media="print")
    try:
        assert page.run("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
        for hidden in ("nav", ".download", ".pool", ".filter"):
            assert not page.run(f"document.querySelector('{hidden}').checkVisibility()"), hidden
        assert page.run("document.querySelector('.standing').checkVisibility()")
        # Tables of ten columns and more are printed across.
        wide = page.run(
            "[...document.querySelectorAll('svg, main table')].filter(e => e.checkVisibility()"
            " && e.getBoundingClientRect().right >"
            " (e.querySelector('th:nth-child(10)') ? 1047 : 719)).map(e => e.id)"
        )
        assert wide == []
    finally:
        page.call("Emulation.setEmulatedMedia", media="")
