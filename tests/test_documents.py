"""What README and docs say: links, numbers and names that they share with the code, and the Python of pages."""

import pathlib
import re
import tomllib

import pytest
import yaml
from hatchling.metadata.core import ProjectMetadata
from hatchling.plugin.manager import PluginManager

import xinit
from xinit.core import files

ROOT = pathlib.Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
BLOCK = re.compile(r"```python\n(.*?)```", re.DOTALL)
TEXTS = sorted([*ROOT.glob("*.md"), *(path for path in DOCS.rglob("*.md") if path.parent != DOCS / "papers")])
PAGES_THAT_RUN = ("start.md", "howto/scaling.md")
README = (ROOT / "README.md").read_text()
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def section(text, heading):
    """What stands below a heading of a Markdown page, up to the next of its level."""
    return re.search(rf"^## {re.escape(heading)}\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)[1]


def numbers(text):
    return set(re.findall(r"\d[\d.]*\d|\d", text))


@pytest.mark.parametrize("page", PAGES_THAT_RUN)
def test_the_code_of_a_page_runs(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code = "\n".join(BLOCK.findall((DOCS / page).read_text()))
    exec(compile(code, page, "exec"), {"__name__": "__main__"})  # our own page


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_links_between_files_lead_somewhere(path):
    for link in re.findall(
        r"\]\(([^)#\s]+)[^)]*\)", re.sub(r"```.*?```|`[^`\n]*`", "", path.read_text(), flags=re.DOTALL)
    ):
        assert "://" in link or (path.parent / link).exists(), link


def test_the_readme_is_short():
    assert README.count("\n") <= 200


def test_the_short_answer_has_no_number_of_its_own():
    short = section(README, "Why 2 / (n_in + n_out)?")
    sentences = re.findall(r"^\d\. (.*?)(?=^\d\. |^\[)", short, re.MULTILINE | re.DOTALL)
    assert len(sentences) == 5
    answer = numbers((DOCS / "concepts" / "answer.md").read_text())
    assert numbers(" ".join(sentences)) <= answer


def test_the_speeds_of_the_readme_are_those_of_the_page():
    (_, _, *rows) = [line for line in section(README, "Speed").splitlines() if line.startswith("|")]
    assert len(rows) == 3
    measured = (DOCS / "howto" / "speed.md").read_text()
    for row in rows:
        name, *speeds = [cell.strip() for cell in row.strip("|").split("|")]
        (line,) = [line for line in measured.splitlines() if line.startswith(f"| {name} |") and speeds[0] in line]
        assert all(re.search(rf"(?<!\d){re.escape(speed.strip('*'))}(?!\d)", line) for speed in speeds)


def test_what_is_installed_by_name_is_an_extra():
    for text in (
        README,
        (DOCS / "start.md").read_text(),
        *(page.read_text() for page in (DOCS / "howto").glob("*.md")),
    ):
        assert set(re.findall(r"'(?:\.|xinit)\[(\w+)\]'", text)) <= PROJECT["optional-dependencies"].keys()


def test_every_document_names_the_version():
    (newest, *_) = re.findall(r"^## (\S+) \((\S+)\)$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert (xinit.__version__, citation["date-released"]) == newest
    assert citation["version"] == xinit.__version__
    assert citation["license"] == PROJECT["license"]


def test_the_metadata_of_a_release_are_whole():
    metadata = ProjectMetadata(str(ROOT), PluginManager())
    core = metadata.core
    assert metadata.version == xinit.__version__
    assert (core.readme_content_type, core.readme_path) == ("text/markdown", "README.md")
    assert core.description
    assert not any("License ::" in classifier for classifier in core.classifiers)  # the expression says it


def test_the_limits_of_a_strangers_files_are_said():
    page = (DOCS / "howto" / "safety.md").read_text()
    assert f"text up to {files.LARGEST_TEXT >> 20} MB" in page
    assert f"YAML up to {files.LARGEST_YAML >> 20} MB, with at most {files.DEEPEST} levels" in page
