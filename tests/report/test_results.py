"""The pages of comparisons, inspections, coordinate checks and transfers, from what their commands have written."""

import json

import pytest

from tests.analysis.test_comparison import compared, noisy
from xinit import report
from xinit.analysis.figures import comparison as comparison_figures
from xinit.core.errors import InputError
from xinit.report import charts, result, several
from xinit.report import page as html

HOSTILE = "<script>hurt()</script>"


def found(tmp_path, kind):
    """A folder of this kind, whose texts are a stranger's."""
    folder = tmp_path / kind
    folder.mkdir()
    (folder / f"{kind}.json").write_text(json.dumps({"verdict": f"FAIL: the signal vanishes {HOSTILE}"}))
    for name in result.TABLES[kind]:
        (folder / name).write_text(f"layer,p\n{HOSTILE},0.1234567\n")
    return folder


@pytest.mark.parametrize("kind", ["inspection", "coordinates", "transfer"])
def test_a_page_has_the_verdict_and_the_tables_as_text(tmp_path, kind):
    page = report.render([found(tmp_path, kind)])
    assert '<span class="level FAIL">FAIL</span>' in page
    assert HOSTILE not in page
    assert ("0.1235" in page) == bool(result.TABLES[kind])
    assert "None was drawn" in page


def test_a_comparison_begins_with_its_conclusions(tmp_path):
    comparison_figures.write(tmp_path, compared(noisy(5, 0.03)))
    page = report.render([tmp_path])
    first = (tmp_path / "conclusions.txt").read_text().splitlines()[0]
    assert 0 < page.index(first.split(" (")[0]) < page.index("The figure")
    assert "data:image/png;base64," in page


def test_several_of_them_have_no_page(tmp_path):
    folders = [found(tmp_path, kind) for kind in ("inspection", "transfer")]
    with pytest.raises(InputError, match="has a page of its own; give it alone"):
        report.render(folders)


def test_a_page_of_several_sections_has_contents_that_lead_to_them():
    parts = [html.section(f"Part <{i}>", html.paragraph("text")) for i in range(5)]
    page = html.whole("title", parts, "")
    for i in range(5):
        assert f'<a href="#part-{i + 1}">Part &lt;{i}&gt;</a>' in page
        assert f'<section id="part-{i + 1}"><h2>Part &lt;{i}&gt;</h2>' in page
    assert "contents" not in html.whole("title", parts[:2], "").partition("<main>")[2]


def test_a_scheme_has_one_colour_whatever_stands_beside_it():
    alone, beside = charts.series_colours(["xavier"]), charts.series_colours(["mine", "scheme=xavier", "xavier 0.1"])
    assert beside[1] == alone[0]
    assert len({*beside}) == 3
    assert len(charts.series_colours([f"own{i}" for i in range(8)])) == 8


@pytest.mark.parametrize(
    ("differing", "words"),
    [
        (["scheme", "steps"], "differ in their budgets (steps)"),
        (["optimizer.learning_rate"], "differ in how they were updated (optimizer.learning_rate)"),
        (["scheme", "seed"], ""),
    ],
)
def test_runs_of_unequal_chances_are_compared_with_a_warning(differing, words):
    assert words in " ".join(several._unfair(differing))
    assert bool(words) == bool(several._unfair(differing))
