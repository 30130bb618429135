"""The documentation site: no warning, no link that leads nowhere, nothing loaded from elsewhere."""

import html.parser
import pathlib
import subprocess
import sys
from urllib.parse import unquote, urlsplit

import pytest

from experiments import kept

ROOT = pathlib.Path(__file__).resolve().parents[1]
pytestmark = pytest.mark.heavy


class Page(html.parser.HTMLParser):
    """The links, the names of places, and whatever a browser would load."""

    def __init__(self, text):
        super().__init__()
        self.links, self.places, self.loaded = [], set(), []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        found = dict(attributes)
        self.places.add(found.get("id"))
        if tag == "a":
            self.links.append(found.get("href", ""))
        else:
            self.loaded += [found[name] for name in ("src", "href", "data") if found.get(name)]


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    out = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-d", out / "doctrees", "docs", out / "html"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return {path: Page(path.read_text()) for path in (out / "html").rglob("*.html")}


def test_every_link_leads_to_a_page_and_to_a_place_on_it(site):
    for path, page in site.items():
        for link in map(urlsplit, page.links):
            if not link.scheme:
                aim = (path.parent / unquote(link.path)).resolve() if link.path else path
                assert aim.exists(), f"{path.name}: {link.geturl()}"
                assert not link.fragment or aim not in site or unquote(link.fragment) in site[aim].places, link.geturl()


def test_nothing_is_loaded_from_elsewhere(site):
    for path, page in site.items():
        for address in map(urlsplit, page.loaded):
            assert not address.netloc, f"{path.name}: {address.geturl()}"
            assert address.scheme == "data" or (path.parent / unquote(address.path)).exists(), address.geturl()
    static = next(iter(site)).parent.parent.rglob("*.css")
    assert not any("url(http" in file.read_text() or "url(//" in file.read_text() for file in static)


def test_every_kept_study_has_its_page_and_its_figures_in_the_gallery(site):
    by_name = {path.name: path for path in site}
    gallery = by_name["gallery.html"].read_text()
    for name in kept.names():
        assert f"{name}.html" in by_name
        assert f'href="papers/{name}.html"' in gallery
