"""The wiring of a probed model as a drawing: a box for each layer, by depth from left to right, red where it is bad."""

from collections.abc import Sequence

from markupsafe import Markup

from xinit.analysis import layer_marks
from xinit.analysis.probe_report import Report
from xinit.report import page as html

BOX, GAP, ROW, HIGH = 148, 44, 50, 34  # pixels: width of a box, between columns, between rows, height of a box
ARCH, HIGHEST = 40, 4  # pixels of the highest arch, and the columns that it skips
LONGEST = 20  # characters of a name in a box
MOST = 400  # layers that are drawn
HOW_TO_READ = (
    "A box for each layer, an arrow from each layer to those that read what it gives, whatever lies between them; an "
    "arch where it skips layers, of several the shortest. From left to right: the longest way to a layer. In a box: "
    "the layer, what it is and what is applied to it. A red box, marked !, is one that a finding is about; a dashed "
    "one feeds itself in a loop. Point at a box to read more."
)
Place = tuple[float, float]


def section(report: Report) -> Markup:
    """The drawing under its heading; of a model with very many layers the first of them."""
    n = min(len(report.names), MOST)
    limited = f" Of {len(report.names)} layers the first {n} are drawn." if n < len(report.names) else ""
    return html.section("Wiring", html.paragraph(HOW_TO_READ + limited, "quiet"), drawing(report))


def drawing(report: Report) -> Markup:
    """The SVG, in a frame that scrolls where it is wider than the page."""
    n = min(len(report.names), MOST)
    rules = layer_marks.by_layer(layer_marks.marks(report), len(report.names))
    places = _places(report.depths[:n], report.fed_by[:n])
    edges = [
        _edge(places[source], places[l], bool(rules[l]) and bool(rules[source])) for source, l in _drawn(report, n)
    ]
    boxes = [_box(report, l, places[l], rules[l]) for l in range(n)]
    width = max(x for x, _ in places) + BOX + 8
    height = max(y for _, y in places) + HIGH + 8
    return Markup(
        '<div class="scroll wiring" tabindex="0" role="region" aria-label="wiring of the layers">'
        '<svg width="{0}" height="{1}" viewBox="0 0 {0} {1}" role="img" aria-label="{2}">'
        '<defs><marker id="tip" viewBox="0 0 6 6" refX="6" refY="3" markerWidth="6" markerHeight="6" orient="auto">'
        '<path d="M0 0L6 3L0 6z" class="tip"/></marker></defs>{3}{4}</svg></div>'
    ).format(
        f"{width:.0f}",
        f"{height:.0f}",
        f"{n} layers over {max(report.depths)} steps of depth",
        html.join(edges),
        html.join(boxes),
    )


def _places(depths: Sequence[int], fed_by: Sequence[Sequence[int]]) -> list[Place]:
    """The upper left corners: a column for each depth, in it near the mean height of what feeds a layer."""
    rows: dict[int, float] = {}
    for depth in sorted(set(depths)):
        column = [l for l, own in enumerate(depths) if own == depth]
        wish = {}
        for l in column:
            sources = [rows[source] for source in fed_by[l] if source in rows]
            wish[l] = sum(sources) / len(sources) if sources else 0.0
        lowest = -(len(column) - 1) / 2 + sum(wish.values()) / len(column)
        for i, l in enumerate(sorted(column, key=lambda l: (wish[l], l))):
            rows[l] = lowest + i
    top = min(rows.values())
    return [(4 + (depths[l] - 1) * (BOX + GAP), 4 + ARCH + (rows[l] - top) * ROW) for l in range(len(depths))]


def _drawn(report: Report, n: int) -> list[tuple[int, int]]:
    """The connections that are drawn: all to the next column, and of those that skip columns each layer's shortest."""
    spans: dict[int, dict[int, int]] = {}
    for l in range(n):
        for source in report.fed_by[l]:
            if source < n and report.depths[source] < report.depths[l]:
                spans.setdefault(source, {})[l] = report.depths[l] - report.depths[source]
    shortest = {source: min([s for s in own.values() if s > 1], default=0) for source, own in spans.items()}
    return [(source, l) for source, own in spans.items() for l, span in own.items() if span in (1, shortest[source])]


def _edge(start: Place, end: Place, is_bad: bool) -> Markup:
    """A curve from the right of one box to the left of the next, or an arch from top to top over what is skipped."""
    columns = round((end[0] - start[0]) / (BOX + GAP))
    if columns == 1:
        (x0, y0), (x1, y1) = (start[0] + BOX, start[1] + HIGH / 2), (end[0], end[1] + HIGH / 2)
        path = f"M{x0:.0f} {y0:.0f}C{x0 + GAP / 2:.0f} {y0:.0f} {x1 - GAP / 2:.0f} {y1:.0f} {x1:.0f} {y1:.0f}"
    else:
        (x0, y0), (x1, y1) = (start[0] + 0.7 * BOX, start[1]), (end[0] + 0.3 * BOX, end[1])
        top = min(y0, y1) - ARCH * 4 / 3 * min(columns, HIGHEST) / HIGHEST
        path = f"M{x0:.0f} {y0:.0f}C{x0 + GAP:.0f} {top:.0f} {x1 - GAP:.0f} {top:.0f} {x1:.0f} {y1:.0f}"
    kind = "bad" if is_bad else "skip" if columns > 1 else ""
    return Markup('<path class="edge {}" d="{}" marker-end="url(#tip)"/>').format(kind, path)


def _box(report: Report, l: int, place: Place, rules: Sequence[str]) -> Markup:
    x, y = place
    name = report.names[l]
    shown = name if len(name) <= LONGEST else f"...{name[-LONGEST + 3 :]}"
    words = [report.kinds[l], *([report.functions[l] or ""] if report.functions[l] else [])]
    what = f"{' + '.join(words)}, {report.widths[l]} units"
    fans = "fan-in {:g}, fan-out {:g}".format(*report.fans[l])
    told = [name, what, fans, *([f"bad: {', '.join(rules)}"] if rules else [])]
    kind = " ".join(["layer", *(["bad"] if rules else []), *(["loop"] if report.recurrent[l] else [])])
    return Markup(
        '<g class="{}"><title>{}</title><rect x="{:.0f}" y="{:.0f}" width="{}" height="{}" rx="5"/>'
        '<text x="{:.0f}" y="{:.0f}">{}</text><text class="what" x="{:.0f}" y="{:.0f}">{}</text></g>'
    ).format(
        kind, "\n".join(told), x, y, BOX, HIGH, x + 7, y + 14, f"{'! ' if rules else ''}{shown}",
        x + 7, y + 27, what if len(what) <= LONGEST + 5 else f"{what[: LONGEST + 2]}...",
    )  # fmt: skip
