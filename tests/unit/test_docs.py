"""Links of the Markdown and of the site, the site's completeness, pictures and citation."""

import re
import subprocess
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
import yaml

from docs.build_site import ROOT, ZENSICAL, build, linked_file, links, pages

PICTURES = ROOT / "docs/pictures"


def markdown() -> list[Path]:
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "*.md"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return [ROOT / name for name in listed.stdout.split("\0") if name]


def anchors(page: Path) -> set[str]:
    """Anchors of a page's headings, as GitHub makes them; the pages repeat no heading."""
    text = re.sub(r"^```.*?^```$", "", page.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    plain = [re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading).lower() for heading in headings]
    return {re.sub(r"[^\w\- ]", "", heading.strip()).replace(" ", "-") for heading in plain}


def test_links_are_found_outside_of_code() -> None:
    page = "[a](b.md#c) `[d](e)` ![f](g.svg)\n\n    [h](i)\n\n```\n[j](k)\n```\n"
    page += '<img src="l.svg">\n'
    assert list(links(page)) == ["b.md#c", "g.svg", "l.svg"]


@pytest.mark.parametrize("page", markdown(), ids=lambda page: str(page.relative_to(ROOT)))
def test_links_of_a_page_lead_somewhere(page: Path) -> None:
    for link in links(page.read_text(encoding="utf-8")):
        target = linked_file(page, link) or page
        fragment = link.partition("#")[2]
        if fragment and not re.match(r"[a-z]+:", link):
            assert fragment in anchors(target), f"{page.relative_to(ROOT)}: {link}"


def test_the_site_has_every_page() -> None:
    """But the note on our questions, which stays with them."""
    left_out = {ROOT / "resources/bbq/README.md"}
    missing = {*markdown()} - {*pages()} - left_out
    assert not missing, "list them in the navigation of docs/site.toml"


class _Page(HTMLParser):
    """Ids on a page, and what it links to and loads."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.ids: set[str] = set()
        self.links: list[str] = []
        self.loaded: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self.ids.add(found.get("id") or "")
        if tag == "a" and found.get("href"):
            self.links.append(str(found["href"]))
        for key in ("src", "href") if tag in ("script", "img", "link", "iframe") else ():
            if found.get(key) and found.get("rel") != "canonical":
                self.loaded.append(str(found[key]))


def test_the_site_needs_no_network(tmp_path: Path) -> None:
    """Every link within it leads to a file, and to an id on it; nothing is loaded from the web."""
    if not ZENSICAL.exists():
        pytest.skip("zensical is not there: make .venv-site/.done")
    site = tmp_path / "site"
    build(site)
    read = {path: _Page(path.read_text("utf-8")) for path in site.rglob("*.html")}
    assert len(read) > len(pages())  # and the page for what is not found
    for path, page in read.items():
        if path.name == "404.html":  # it is served under any path
            continue
        for link in [*page.links, *page.loaded]:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                assert link in page.links, f"{path.relative_to(site)} loads {link}"
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            target = target / "index.html" if target.is_dir() else target
            assert target.exists(), f"{path.relative_to(site)}: {link}"
            if parts.fragment and target in read:
                assert unquote(parts.fragment) in read[target].ids, f"{path.name}: {link}"
    styles = [path.read_text("utf-8") for path in site.rglob("*.css")]
    assert styles and not any(re.search(r"(?:url\(|@import )['\"]?https?:", s) for s in styles)


def test_pictures_are_small_and_described() -> None:
    pictures = sorted(PICTURES.glob("*.svg"))
    assert [picture.stem for picture in pictures] == ["dag", "figure1"]
    for picture in pictures:
        text = picture.read_text(encoding="utf-8")
        assert len(text) < 150_000 and "<title" in text and "<desc" in text


def test_the_citation_names_both_titles_of_the_paper() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    titles = [reference["title"] for reference in citation["references"]]
    readme = " ".join((ROOT / "README.md").read_text(encoding="utf-8").split())
    assert len(titles) == 2 and all(title in readme for title in titles)
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert f'version = "{citation["version"]}"' in project


def test_the_catalog_is_told_what_it_asks_for() -> None:
    told = yaml.safe_load((ROOT / ".snakemake-workflow-catalog.yml").read_text(encoding="utf-8"))
    usage = told["usage"]
    assert set(usage) == {"mandatory-flags", "software-stack-deployment", "report"}
    deployment = usage["software-stack-deployment"]
    assert set(deployment) == {"conda", "apptainer", "apptainer+conda"}
    assert all(isinstance(value, bool) for value in deployment.values())
