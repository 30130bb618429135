"""A Sphinx extension: numbers of the kept results in running text, read when the site is built.

The role `{kept}` takes a study and a name, as the study's own page does: a metric, its `.interval`, or a leaf of the
results. A name that is not there is a warning, so that a page cannot keep a number that the results no longer have.
"""

import functools
from collections.abc import Sequence
from typing import Any

from docutils import nodes

from experiments import page, publishing, study


def setup(app: Any) -> dict[str, bool]:
    """Add the role."""
    app.add_role("kept", _role)
    return {"parallel_read_safe": True}


def kept(name: str, fact: str) -> str:
    """What the kept results of a study say, as its page would print it.

    Raises:
      KeyError: the results have no such name.
    """
    results, metrics = _results(name)
    return page.facts(f"{{{fact}}}", results, metrics)[fact]


@functools.cache
def _results(name: str) -> tuple[dict[str, Any], dict[str, Any]]:
    own = study.load(name)
    about, found = publishing.read(own, own.results)
    parts = own.asked(about["figure"], about["tier"], about["settings"])
    return {**about, **found}, dict(publishing.measured(own, parts, found, about.get("not_run", {})))


def _role(
    role: str, rawtext: str, text: str, lineno: int, inliner: Any, options: object = None, content: Sequence[str] = ()
) -> tuple[list[nodes.Node], list[nodes.Node]]:
    del role, options, content
    name, _, fact = text.partition(" ")
    try:
        return [nodes.Text(kept(name, fact))], []
    except KeyError:
        message = inliner.reporter.warning(f"The kept results of {name} have no {fact}.", line=lineno)
        return [nodes.Text(rawtext)], [message]
