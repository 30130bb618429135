"""A Sphinx extension: formulas become MathML when the site is built, so that a page loads no script for them."""

import html
import re
from typing import Any

import latex2mathml.converter
from docutils import nodes

TAG = re.compile(r"\\tag\{(.*?)\}")


def setup(app: Any) -> dict[str, bool]:
    """Add the renderer; `html_math_renderer = "mathml"` chooses it."""
    app.add_html_math_renderer("mathml", (_inline, None), (_block, None))
    return {"parallel_read_safe": True}


def _inline(translator: Any, node: nodes.Element) -> None:
    translator.body.append(latex2mathml.converter.convert(node.astext()))
    raise nodes.SkipNode


def _block(translator: Any, node: nodes.Element) -> None:
    formula = node.astext()
    tag = TAG.search(formula)
    number = f'<span class="eqno">({html.escape(tag[1])})</span>' if tag else ""
    rendered = latex2mathml.converter.convert(TAG.sub("", formula), display="block")
    translator.body.append(f'<div class="math notranslate nohighlight">{number}{rendered}</div>')
    raise nodes.SkipNode
