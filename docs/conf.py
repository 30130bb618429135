"""How Sphinx builds the documentation site: `make docs`, or `python -m sphinx -W docs build/docs`."""

import pathlib
import sys

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "docs")]  # the clone, then the extensions beside this file

from xinit import __version__  # noqa: E402

project = "xinit"
author = "the authors of xinit"
copyright = author  # the name that Sphinx gives it
release = __version__
language = "en"

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "docstrings", "generated"]
extensions += ["kept_numbers", "mathml", "notebooks"]
exclude_patterns = ["concepts/answer.md"]  # included by a page of its folder
highlight_language = "text"
default_role = "code"  # docstrings write `name` as Markdown does
myst_enable_extensions = ["colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 4

autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"
autodoc_preserve_defaults = True
napoleon_numpy_docstring = False
napoleon_use_rtype = False  # "Returns:" is a sentence here, which may have a colon
napoleon_custom_sections = [("Keys", "params_style")]

html_math_renderer = "mathml"
html_theme = "furo"
html_title = "xinit"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_theme_options = {
    "light_css_variables": {"color-api-name": "var(--color-brand-primary)", "color-api-pre-name": "inherit"},
}
html_copy_source = False
html_show_sphinx = False
