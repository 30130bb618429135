"""The practical table: the README has it, and a line says something only where a claim about it passed."""

import pathlib
import re

import pytest

from experiments import kept, practical, publishing, study
from experiments.claims import FAIL
from tests.conftest import assert_same_but_for_rounding

README = pathlib.Path(__file__).parents[2] / "README.md"


@pytest.fixture(scope="module")
def models():
    own = study.load(practical.STUDY)
    return publishing.read(own, own.results)[1]["choices"]["models"]


def test_the_readme_has_the_table():
    shown = re.search(r"<!-- practical -->\n(.*)<!-- /practical -->", README.read_text(), re.DOTALL)[1]
    assert_same_but_for_rounding(practical.table(), shown.strip(), digits=3)


def test_a_line_is_empty_without_a_claim_that_passed(models):
    _, checked = kept.results(practical.STUDY)
    label = next(iter(models))
    about = [one for one in checked if one.claim.metric.startswith(f"choices.{label}.")]
    assert about
    passed, *_ = practical.rows(models, checked)
    assert passed["start from"]
    failed = [one._replace(state=FAIL) if one in about else one for one in checked]
    for states in (failed, []):
        first, *_ = practical.rows(models, states)
        assert first == {"network": models[label]["title"]} | dict.fromkeys(practical.COLUMNS, "")


def test_a_scheme_is_named_only_where_the_usual_one_loses(models):
    _, checked = kept.results(practical.STUDY)
    same = {label: model | {"starts": dict.fromkeys(model["starts"], model["starts"]["standard"])}
            for label, model in models.items()}  # fmt: skip
    assert {row["start from"] for row in practical.rows(same, checked)} <= {"any of them", "none of them trains", ""}
