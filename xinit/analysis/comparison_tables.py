"""A comparison in tables: rows for a terminal, CSV files with every number, and LaTeX for a paper."""

from xinit.analysis.comparison import (
    Choice,
    Comparison,
    Trial,
    choose_rates,
    conclusions,
    decimals,
    differences,
    n_diverged,
    percent,
    score,
    winner,
)
from xinit.analysis.intervals import Interval
from xinit.core.files import as_csv
from xinit.core.readings import share_of


def rows(comparison: Comparison) -> list[dict[str, str]]:
    """One line a scheme, in words, for a table on a terminal.

    >>> row = rows(comparison)[0]
    >>> row["scheme"], row["learning rate"], row["test error"]
    ('he', '0.3', '20.5%')
    """
    choices = choose_rates(comparison.search, comparison.schemes, comparison.rates)
    return [_row(comparison, scheme, choice) for scheme, choice in choices.items()]


def _row(comparison: Comparison, scheme: str, choice: Choice) -> dict[str, str]:
    mean, _, low, high, n = score(comparison, scheme)
    places = decimals(low, high)
    return {
        "scheme": scheme,
        "learning rate": f"{choice.learning_rate:g}",
        "valid error": f"{choice.error:.1%}",
        "test error": f"{percent(mean, places)}%" if n else "-",
        "95 % interval": f"[{percent(low, places)}, {percent(high, places)}]" if n > 1 else "-",
        "n": str(n),
        "diverged": str(n_diverged(comparison, scheme)),
        "edge": choice.edge,
    }


def files(comparison: Comparison) -> dict[str, str]:
    """Every number as text, by file name: runs.csv, schemes.csv, differences.csv, and table.tex for a paper.

    >>> list(files(comparison))
    ['runs.csv', 'schemes.csv', 'differences.csv', 'table.tex', 'conclusions.txt']
    """
    phases = (("search", comparison.search), ("score", comparison.scores))
    runs = [(phase, *trial) for phase, trials in phases for trial in trials]
    choices = choose_rates(comparison.search, comparison.schemes, comparison.rates)
    schemes = [
        (scheme, *choice[:2], *score(comparison, scheme), n_diverged(comparison, scheme), choice.edge)
        for scheme, choice in choices.items()
    ]
    pairs = [(first, second, *interval, real) for first, second, interval, real in differences(comparison)]
    interval = ("mean", "std", "low", "high", "n")
    return {
        "runs.csv": as_csv(("phase", *Trial._fields), runs),
        "schemes.csv": as_csv(("scheme", "learning_rate", "valid_error", *interval, "diverged", "edge"), schemes),
        "differences.csv": as_csv(("first", "second", *interval, "real"), pairs),
        "table.tex": latex(comparison),
        "conclusions.txt": "".join(f"{sentence}\n" for sentence in conclusions(comparison)),
    }


def latex(comparison: Comparison) -> str:
    r"""A table for \usepackage{booktabs}: mean and half width of Student's interval, the `winner` in bold.

    >>> print(latex(comparison).splitlines()[6])
    Scheme & Learning rate & Test error (\%) & $n$ & Diverged \\
    """
    best, lines = winner(comparison), []
    for scheme, choice in choose_rates(comparison.search, comparison.schemes, comparison.rates).items():
        interval = score(comparison, scheme)
        cells = escape(scheme), f"{choice.learning_rate:g}", _latex_score(interval, scheme == best)
        lines.append(f"{' & '.join((*cells, str(interval.n), str(n_diverged(comparison, scheme))))} \\\\")
    about = " ".join(f"{comparison.title}; {comparison.budget}".split())
    of = share_of(comparison.error_is)
    return "\n".join(
        (
            f"% {about}; chance {comparison.chance:.1%}. Needs \\usepackage{{booktabs}}.",
            *([f"% Errors are shares{of} of the training targets that is left, 1 - R^2."] if of else []),
            "% Test error: mean and half width of Student's 95 % interval over n fresh seeds, at the learning rate of",
            "% least validation error; a diverged run counts as chance. Bold: better than every other scheme,",
            "% with a 95 % interval of the difference, paired by seed, that excludes 0.",
            "\\begin{tabular}{lrrrr}",
            "\\toprule",
            "Scheme & Learning rate & Test error (\\%) & $n$ & Diverged \\\\",
            "\\midrule",
            *lines,
            "\\bottomrule",
            "\\end{tabular}\n",
        )
    )


def _latex_score(interval: Interval, bold: bool) -> str:
    mean, _, low, high, n = interval
    if n == 0:
        return "--"
    places = decimals(low, high)
    cell = percent(mean, places) + (rf" \pm {percent((high - low) / 2, places)}" if n > 1 else "")
    return rf"$\mathbf{{{cell}}}$" if bold else f"${cell}$"


def escape(name: str) -> str:
    """A user's own name as LaTeX prints it.

    >>> print(escape("of_mine:my_init"))
    of\\_mine:my\\_init
    """
    commands = {"\\": "textbackslash", "~": "textasciitilde", "^": "textasciicircum", "<": "textless",
                ">": "textgreater", "|": "textbar"}  # fmt: skip
    table = {sign: f"\\{command}{{}}" for sign, command in commands.items()} | {sign: f"\\{sign}" for sign in "_%&#${}"}
    return " ".join(name.split()).translate({ord(sign): command for sign, command in table.items()})
