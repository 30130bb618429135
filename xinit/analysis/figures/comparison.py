"""The figure of a comparison, one column of a paper wide, and the folder of files that go with it."""

import io
import pathlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

from xinit.analysis.comparison import Choice, Comparison, choose_rates
from xinit.analysis.comparison_tables import files
from xinit.analysis.figures.palette import places
from xinit.analysis.intervals import mean_interval
from xinit.core.files import write_atomically, writing
from xinit.core.readings import share_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D
    from matplotlib.typing import RcKeyType

WIDTH = 3.35  # inches: a column of a two-column page
FONTS: dict["RcKeyType", float] = {
    "font.size": 7.5, "axes.labelsize": 7.5, "axes.titlesize": 7.5, "legend.fontsize": 7, "xtick.labelsize": 7,
    "ytick.labelsize": 7, "axes.linewidth": 0.6, "xtick.major.width": 0.6, "ytick.major.width": 0.6,
    "ytick.minor.width": 0.4, "pdf.fonttype": 42,
}  # fmt: skip
# Okabe and Ito's colours, told apart by colour-blind eyes, with their yellow darkened to show on white. Markers and
# dashes repeat the distinction for grey print; none of the markers is a cross, which means diverged.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#000000", "#56B4E9", "#E69F00", "#8A8A2B")
MARKERS = ("o", "s", "^", "D", "v", "P", "<", ">")
Place = Literal["outside upper center", "outside lower center"]  # of a legend
Dash = str | tuple[float, Sequence[float]]
DASHES: tuple[Dash, ...] = (
    "-",
    (0, (5, 1.5)),
    (0, (4, 1, 1, 1)),
    (0, (2, 1)),
    (0, (7, 1, 1, 1, 1, 1)),
    "-",
    (0, (5, 1.5)),
    (0, (2, 1)),
)
CHANCE: dict[str, Any] = {"color": "0.45", "lw": 0.8, "ls": (0, (1, 1.5))}
LONGEST = 44  # letters of a name that fit the column; longer ones lose their middle
SPREAD = 0.5  # how far schemes are moved apart at a rate, as a share of the distance between rates


class Look(NamedTuple):
    """How a scheme is drawn in both panels, and the factor that sets its rates beside the other schemes'."""

    colour: str
    marker: str
    dashes: Dash
    shift: float


def figure(comparison: Comparison) -> "Figure":
    """Above, validation error against learning rate; below, against examples seen at each scheme's chosen rate.

    >>> [axes.get_xlabel() for axes in figure(comparison).axes]
    ['learning rate', 'examples seen']
    """
    from matplotlib import rc_context

    from xinit.core.figure import Figure

    names = [_shortened(scheme) for scheme in comparison.schemes]
    columns = 1 if max(map(len, names)) > 18 else 2 if max(map(len, names)) > 9 else 3
    lines = -(-len(names) // columns)
    columns = -(-len(names) // lines)  # four names in two lines of two, not three and one
    with rc_context(FONTS):
        drawn = Figure(figsize=(WIDTH, 3.9 + 0.145 * (lines + 1)), layout="constrained")
        drawn.set_layout_engine("constrained", h_pad=0.03, w_pad=0.02)
        upper, lower = drawn.subplots(2, 1)
        looks = _looks(comparison)
        _over_rates(upper, comparison, looks)
        _over_examples(lower, comparison, looks)
        _legends(drawn, names, list(looks.values()), columns)
    return drawn


def write(folder: pathlib.Path, comparison: Comparison) -> list[pathlib.Path]:
    """Write comparison.pdf, comparison.png and the text `files`, each atomically; equal input gives equal bytes.

    >>> [path.name for path in write(pathlib.Path("comparison"), comparison)][:3]
    ['comparison.pdf', 'comparison.png', 'runs.csv']

    Raises:
      InputError: the folder cannot be written.
    """
    contents = {f"comparison.{kind}": content for kind, content in _rendered(comparison).items()}
    contents |= {name: text.encode() for name, text in files(comparison).items()}
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in contents.items():
            write_atomically(folder / name, content)
    return [folder / name for name in contents]


def _rendered(comparison: Comparison) -> dict[str, bytes]:
    from matplotlib import rc_context

    contents, drawn = {}, figure(comparison)
    with rc_context(FONTS):
        for kind, options in (("pdf", {"metadata": {"CreationDate": None}}), ("png", {"dpi": 300})):
            buffer = io.BytesIO()
            drawn.savefig(buffer, format=kind, **options)
            contents[kind] = buffer.getvalue()
    return contents


def _looks(comparison: Comparison) -> dict[str, Look]:
    grid, n = np.log(sorted(set(comparison.rates))), len(comparison.schemes)
    gap = np.diff(grid).min() if len(grid) > 1 else np.log(2)
    shifts = np.exp(SPREAD * gap * (np.arange(n) - (n - 1) / 2) / max(n, 4))
    colours = [COLOURS[place] for place in places(comparison.schemes, len(COLOURS))]
    return {
        scheme: Look(colours[i], MARKERS[i % 8], DASHES[(i + i // 8) % 8], float(shifts[i]))
        for i, scheme in enumerate(comparison.schemes)
    }


def _over_rates(axes: "Axes", comparison: Comparison, looks: dict[str, Look]) -> None:
    axes.axhline(100 * comparison.chance, **CHANCE)
    choices = choose_rates(comparison.search, comparison.schemes, comparison.rates)
    for scheme, look in looks.items():
        _scheme_over_rates(axes, comparison, scheme, look, choices[scheme])
    rates = sorted(set(comparison.rates))
    shown = rates[:: -(-len(rates) // 7)]
    axes.set_xscale("log")
    axes.set_xticks(shown, [f"{rate:g}" for rate in shown])
    axes.minorticks_off()
    if len(rates) == 1:
        axes.set_xlim(rates[0] / 2, rates[0] * 2)
    _error_axis(axes, np.array([100 * trial.error for trial in comparison.search]), comparison)
    axes.set_xlabel("learning rate")
    axes.set_title(f"after {comparison.budget}", loc="left", parse_math=False)


def _scheme_over_rates(axes: "Axes", comparison: Comparison, scheme: str, look: Look, choice: Choice) -> None:
    scheme_trials = [trial for trial in comparison.search if trial.scheme == scheme]
    rates = sorted(set(comparison.rates))
    means = [100 * np.mean([trial.error for trial in scheme_trials if trial.learning_rate == rate]) for rate in rates]
    for trials, marker, size, alpha in (
        ([trial for trial in scheme_trials if not trial.diverged], look.marker, 4, 0.35),
        ([trial for trial in scheme_trials if trial.diverged], "x", 12, 1.0),
    ):
        x = [trial.learning_rate * look.shift for trial in trials]
        y = [100 * trial.error for trial in trials]
        style = {"lw": 0.8} if marker == "x" else {"linewidths": 0}
        axes.scatter(x, y, size, look.colour, marker=marker, alpha=alpha, zorder=2.5, **style)
    shifted = np.multiply(rates, look.shift)
    axes.plot(shifted, means, color=look.colour, ls=look.dashes, lw=1, marker=look.marker, ms=3, zorder=3)
    axes.plot(
        choice.learning_rate * look.shift,
        100 * choice.error,
        "o",
        ms=7.5,
        mfc="none",
        mec=look.colour,
        mew=0.9,
        zorder=4,
    )


def _over_examples(axes: "Axes", comparison: Comparison, looks: dict[str, Look]) -> None:
    from matplotlib.ticker import EngFormatter

    axes.axhline(100 * comparison.chance, **CHANCE)
    for i, (scheme, look) in enumerate(looks.items()):
        if scheme not in comparison.curves:
            continue
        examples_T, error_ST = comparison.curves[scheme]
        # A run that has diverged counts with the chance error: without it the mean would be that of the survivors.
        error_ST = 100 * np.where(np.isnan(error_ST), comparison.chance, error_ST)
        mean_T, _, low_T, high_T, _ = mean_interval(error_ST)
        every = (0.02 + 0.2 * i / len(looks), 0.2)  # markers of different schemes at different places
        axes.plot(
            examples_T, mean_T, color=look.colour, ls=look.dashes, lw=1, marker=look.marker, ms=3, markevery=every
        )
        if len(error_ST) > 1:
            axes.fill_between(
                examples_T, low_T, high_T, color=look.colour, alpha=0.15 if len(looks) <= 4 else 0.09, lw=0
            )
    axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    axes.set_xlim(left=0)
    _error_axis(axes, np.concatenate([line.get_ydata() for line in axes.lines]), comparison)
    axes.set_xlabel("examples seen")
    axes.set_title("at the chosen learning rate: mean, 95 % band", loc="left")


def _error_axis(axes: "Axes", percents: np.ndarray, comparison: Comparison) -> None:
    """From the least error drawn to a little above chance: the wide band of a few runs must not flatten the means.

    Logarithmic where the least is below a tenth of chance, or all that is good would lie on one line.
    """
    from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

    chance = comparison.chance
    least, most = np.min(percents), max(np.max(percents), 100 * chance)
    if 0 < least < 10 * chance:
        axes.set_yscale("log")
        axes.set_ylim(least / 1.15, most * 1.2)
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
        axes.yaxis.set_minor_formatter(NullFormatter())
    else:
        margin = 0.06 * max(most - least, 1.0)
        axes.set_ylim(max(least - margin, -1.0), most + margin)
    axes.set_ylabel(f"validation error, %{share_of(comparison.error_is)}")


def _legends(drawn: "Figure", names: list[str], looks: list[Look], columns: int) -> None:
    """Outside the panels, where no data can be: the schemes above, what the other marks mean below."""
    from matplotlib.lines import Line2D

    schemes = [Line2D([], [], color=look.colour, ls=look.dashes, lw=1, marker=look.marker, ms=3) for look in looks]
    marks = {
        "chosen rate": Line2D([], [], ls="", marker="o", ms=7, mfc="none", mec="0.2", mew=0.9),
        "diverged": Line2D([], [], ls="", marker="x", ms=3.5, color="0.2", mew=0.8),
        "chance": Line2D([], [], **CHANCE),
    }
    _legend(drawn, "outside upper center", schemes, names, columns)
    _legend(drawn, "outside lower center", list(marks.values()), list(marks), 3)


def _legend(drawn: "Figure", place: Place, handles: list["Line2D"], names: list[str], columns: int) -> None:
    legend = drawn.legend(
        handles, ["name"] * len(names), ncols=columns, loc=place, frameon=False, handlelength=3.2,
        borderpad=0, borderaxespad=0.2, labelspacing=0.3, columnspacing=1.2,
    )  # fmt: skip
    for text, name in zip(legend.get_texts(), names, strict=True):
        text.set_parse_math(False)  # set afterwards: as a label, a name that begins with _ would be left out
        text.set_text(name)


def _shortened(name: str) -> str:
    half = (LONGEST - 1) // 2
    return name if len(name) <= LONGEST else f"{name[:half]}…{name[-half:]}"
