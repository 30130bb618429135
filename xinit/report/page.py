"""What a page is made of: sections, figures, tables, sliders and filters, as escaped HTML, and the page around them.

Whatever comes from a run's folder is text: `Markup.format` escapes it, `figure` hands it to Vega-Lite as data, and the
page's content policy forbids all scripts but its own to be fetched and every request.
"""

import base64
import functools
import json
import re
from collections.abc import Mapping, Sequence
from importlib import resources
from typing import Any, NamedTuple

import altair as alt
import vl_convert
from markupsafe import Markup

SECTION = re.compile(r"<section((?: class=\"[^\"]*\")?)><h2>(.*?)</h2>")
SEVERAL = 3  # sections of a page, beyond which it has contents
VEGA_LITE = "6.4"  # of the script in the page; charts are checked against the schema of altair, which is the same
POLICY = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data:"
# `ast` has Vega interpret its expressions instead of compiling them, which the policy forbids.
SCRIPT = """
for (const chart of document.querySelectorAll(".chart"))
  vegaEmbed(chart, JSON.parse(chart.nextElementSibling.textContent), {renderer: "svg", actions: false, ast: true});
for (const slider of document.querySelectorAll("input[type=range]")) {
  const words = JSON.parse(slider.dataset.words), output = slider.nextElementSibling;
  const say = () => { output.value = words[slider.value]; slider.setAttribute("aria-valuetext", output.value); };
  slider.addEventListener("input", say);
  say();
}
// A chart looks for its width when the window's changes; one that was hidden must look too.
const look = () => dispatchEvent(new Event("resize"));
for (const shown of ["change", "toggle"]) document.addEventListener(shown, look, true);
"""
PAGE = Markup(
    """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>{style}</style>
</head>
<body>
<main>
<h1>{title}</h1>
{content}
<footer>{footer}</footer>
</main>
{scripts}</body>
</html>
"""
)


def join(parts: Sequence[Markup]) -> Markup:
    """Fragments one after the other."""
    return Markup("\n").join(parts)


def paragraph(text: str, kind: str = "") -> Markup:
    """A paragraph; `kind` is "" or "quiet"."""
    return Markup('<p class="{}">{}</p>').format(kind, text)


def section(title: str, *parts: Markup) -> Markup:
    """A part of the page under a heading of its own."""
    return Markup("<section><h2>{}</h2>\n{}</section>").format(title, join(parts))


def card(facts: Mapping[str, Any]) -> Markup:
    """Facts by name."""
    return Markup('<dl class="card">{}</dl>').format(
        join([Markup("<dt>{}</dt><dd>{}</dd>").format(name, value) for name, value in facts.items()])
    )


def details(summary: str, *parts: Markup) -> Markup:
    """What is shown when it is asked for."""
    return Markup("<details><summary>{}</summary>{}</details>").format(summary, join(parts))


def verbatim(text: str) -> Markup:
    """Text as it is, line by line."""
    return Markup("<pre>{}</pre>").format(text)


def level(word: str) -> Markup:
    """OK, WARN, FAIL, PASS ... in its colour."""
    return Markup('<span class="level {}">{}</span>').format(word.partition(" ")[0], word)


def findings(judged: Sequence[tuple[str, str]]) -> Markup:
    """Levels and sentences, one line each."""
    lines = [Markup("<li>{}{}</li>").format(level(word), sentence) for word, sentence in judged]
    return Markup('<ul class="findings">{}</ul>').format(join(lines))


def together(*parts: Markup) -> Markup:
    """Sections for which one slider stays in sight."""
    return Markup("<div>{}</div>").format(join(parts))


def figures(*shown: Markup, small: bool = False) -> Markup:
    """Figures side by side, as many as there is room for."""
    return Markup('<div class="figures {}">{}</div>').format("small" if small else "", join(shown))


def figure(
    title: str, chart: alt.TopLevelMixin, how_to_read: str = "", kind: str = "", control: Markup | str = ""
) -> Markup:
    """A Vega-Lite chart with its title above and how to read it below.

    `kind`: its classes, as "wide" or a filter's; `control`: a slider of its own.
    """
    described = chart.properties(description=title).to_dict()
    spec = json.dumps(described, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")
    drawn = Markup('<div class="chart"></div><script type="application/json">{}</script>').format(Markup(spec))
    caption = Markup("<figcaption>{}</figcaption>").format(how_to_read) if how_to_read else ""
    return Markup('<figure class="{}"><h3>{}</h3>{}{}{}</figure>').format(kind, title, control, drawn, caption)


def picture(title: str, content: bytes, how_to_read: str = "") -> Markup:
    """A PNG or SVG, in the page itself; as the source of an image an SVG can neither run nor fetch anything."""
    kind = "png" if content.startswith(b"\x89PNG") else "svg+xml"
    encoded = base64.b64encode(content).decode()
    drawn = Markup('<img alt="{}" src="data:image/{};base64,{}">').format(title, kind, encoded)
    caption = Markup("<figcaption>{}</figcaption>").format(how_to_read) if how_to_read else ""
    return Markup('<figure class="wide"><h3>{}</h3>{}{}</figure>').format(title, drawn, caption)


def table(rows: Sequence[Mapping[str, Any]], kinds: Sequence[str] = ()) -> Markup:
    """Cells under their headings; `kinds`: a class for each row, as a filter's. Cells may be Markup, as of `level`."""
    headings = list(dict.fromkeys(heading for row in rows for heading in row))
    numeric = {name for name in headings if all(_is_number(row.get(name, "")) for row in rows)}
    side = lambda name: "number" if name in numeric else ""
    head = [Markup('<th class="{}">{}</th>').format(side(name), name) for name in headings]
    body = []
    for i, row in enumerate(rows):
        cells = [Markup('<td class="{}">{}</td>').format(side(name), row.get(name, "")) for name in headings]
        body.append(Markup('<tr class="{}">{}</tr>').format(kinds[i] if kinds else "", Markup("").join(cells)))
    return Markup('<div class="scroll"><table><thead><tr>{}</tr></thead><tbody>{}</tbody></table></div>').format(
        Markup("").join(head), join(body)
    )


def _is_number(cell: Any) -> bool:
    """Whether a cell is a number in a reader's eyes: 0.03, 83.6%, [80.4%, 85.5%], or nothing."""
    return not str(cell).strip("0123456789.,%+-±[]() ex")


def slider(name: str, label: str, words: Sequence[str], start: int, sticky: bool = True) -> Markup:
    """A slider with a place for each of the words; charts follow it through `charts.follows(name)`.

    One that is sticky stays in sight for as long as what it stands in does.
    """
    control = Markup('<input type="range" id="{}" min="0" max="{}" step="1" value="{}" data-words="{}">').format(
        name, len(words) - 1, start, json.dumps(list(words))
    )
    kind = "controls sticky" if sticky else "controls"
    return Markup('<div class="{}"><label>{} {}<output></output></label></div>').format(kind, label, control)


class Filters(NamedTuple):
    """Boxes for the values of some settings; unticking one hides what has that value. No script: style rules do it."""

    values: Mapping[str, Sequence[str]]

    def kind(self, settings: Mapping[str, str]) -> str:
        """The classes of a row or figure with these settings."""
        chosen = [self._name(name, str(settings[name])) for name in self.values if name in settings]
        return " ".join(chosen)

    def _name(self, setting: str, value: str) -> str:
        place = list(self.values).index(setting)
        return f"of-{place}-{list(self.values[setting]).index(value)}"

    def controls(self) -> Markup:
        """The boxes, and the rules that hide."""
        box = Markup('<label><input type="checkbox" id="show-{0}" checked> {1}</label>')
        rules, sets = [], []
        for setting, values in self.values.items():
            names = [self._name(setting, value) for value in values]
            boxes = [box.format(name, value) for name, value in zip(names, values, strict=True)]
            sets.append(Markup("<fieldset><legend>{}</legend>{}</fieldset>").format(setting, join(boxes)))
            rules += [f"main:has(#show-{name}:not(:checked)) .{name} {{ display: none; }}" for name in names]
        style = Markup("<style>{}</style>").format(Markup("\n".join(rules)))
        return Markup('{}<div class="filters">{}</div>').format(style, join(sets))


def whole(title: str, content: Sequence[Markup], footer: str) -> str:
    """The page: one file that asks for nothing else."""
    style = Markup(resources.files(__package__).joinpath("page.css").read_text())
    listed, marked = _contents(join(content))
    drawn = any(word in marked for word in ('class="chart"', 'type="range"'))
    return PAGE.format(
        policy=POLICY,
        title=title,
        style=style,
        content=listed + marked,
        footer=footer,
        scripts=_scripts() if drawn else "",
    )


def _contents(content: Markup) -> tuple[Markup, Markup]:
    """Links to the page's sections, where there are several, and the content with the places that they lead to."""
    titles: list[str] = []

    def numbered(match: re.Match[str]) -> str:
        titles.append(match[2])
        return f'<section{match[1]} id="part-{len(titles)}"><h2>{match[2]}</h2>'

    marked = Markup(SECTION.sub(numbered, content))
    links = [Markup('<a href="#part-{}">{}</a>').format(i, Markup(title)) for i, title in enumerate(titles, 1)]
    return (
        Markup('<nav class="contents">{}</nav>\n').format(join(links)) if len(titles) > SEVERAL else Markup()
    ), marked


@functools.cache
def _scripts() -> Markup:
    """Vega-Lite's script, which takes seconds to put together, and the page's own."""
    bundle: str = vl_convert.javascript_bundle(vl_version=VEGA_LITE)  # type: ignore[call-arg]  # its stub lacks a default
    library = bundle.replace("</script", "<\\/script")
    return Markup("<script>{}</script>\n<script>{}</script>\n").format(Markup(library), Markup(SCRIPT))
