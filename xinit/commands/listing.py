"""Every choice there is, from the YAML files, and the schemes' variances at a pair of fans, as tables."""

import math
import pathlib
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from rich import box
from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.text import Text

from xinit.commands.columns import Rows, fits, fitted
from xinit.core.errors import InputError
from xinit.core.factories import allowed_words, call_factory
from xinit.settings.compose import conf_dir, overrides_from

if TYPE_CHECKING:
    from xinit.initializers import Law
    from xinit.networks.activations import Activation

USAGE = "python -m xinit.list GROUP, or python -m xinit.list schemes fans=784,100 activation=relu"
MEANS = ("fan_in", "fan_out", "xavier", "geometric", "mean_of_variances")  # of the fans or of what they ask for: first
NOT_SHOWN = ("fn", "kind", "gain", "defaults", "_target_", "_recursive_")  # settings that say nothing of a choice
MOST = 16  # settings of a choice that are listed; a study's tier has a hundred, each with its comment in the file


class Choice(NamedTuple):
    """One YAML file of a group: its comment as formula and source, its settings."""

    name: str
    formula: str
    source: str
    settings: Mapping[str, Any]


class Row(NamedTuple):
    """A scheme's law at a pair of fans; or why there is none."""

    choice: Choice
    law: "Law | None"
    reason: str = ""


def show(arguments: Sequence[str], console: Console) -> None:
    """Print the groups, a group's choices, or the schemes at a pair of fans.

    Raises:
      InputError: an unknown group or setting, fans that are no pair of whole numbers above 0.
    """
    settings = dict(argument.split("=", 1) for argument in arguments if "=" in argument)
    names = [argument for argument in arguments if "=" not in argument and argument not in ("-h", "--help")]
    group = group_named(names[0]) if names else None
    allowed = {"fans", "activation"} if group == "scheme" and "fans" in settings else set()
    if len(names) > 1 or set(settings) - allowed:
        raise InputError(f"{' '.join(arguments)!r} cannot be read; it must be {USAGE}.")
    if group is None:
        console.print(_table(USAGE, _group_rows(), console.width))
        console.print("next: python -m xinit.list schemes")
    elif not settings:
        console.print(_choices(group, console.width))
        if how := how_to_bring_ones_own(group):
            console.print(how)
        fans = group == "scheme"
        console.print(
            f"next: python -m xinit.{'list schemes fans=784,100 activation=relu' if fans else 'train --help'}"
        )
    else:
        n_in, n_out = parse_fans(settings["fans"])
        rows = laws_at(n_in, n_out, settings.get("activation", "tanh"))
        console.print(_table(f"n_in = {n_in}, n_out = {n_out}", _law_rows(rows, n_in, n_out), console.width))
        console.print(explanation(rows, n_in, n_out))
        console.print("next: python -m xinit.inspect scheme=xavier depth=30")


def groups() -> list[str]:
    """The groups as the command line names them: activation, hydra/launcher."""
    names = []
    for folder in sorted(path for path in conf_dir().iterdir() if path.is_dir()):
        holds_choices = any(folder.glob("*.yaml"))
        names += [folder.name] if holds_choices else [f"{folder.name}/{path.name}" for path in sorted(folder.iterdir())]
    return names


def group_named(word: str) -> str:
    """The group that a word means, in the singular or the plural, by its whole name or the end of it."""
    for name in (word, word.removesuffix("s")):
        for group in groups():
            if name in (group, group.rpartition("/")[2]):
                return group
    raise InputError(f"Unknown group {word!r}; {allowed_words(word, groups())}")


def choices(group: str) -> list[Choice]:
    """Every choice of a group by name; those of its folders, such as a study's tiers, as compromise/init."""
    folder = conf_dir() / group
    paths = {path.relative_to(folder).with_suffix("").as_posix(): path for path in folder.rglob("*.yaml")}
    return [_choice(name, paths[name]) for name in sorted(paths)]


def _choice(name: str, path: pathlib.Path) -> Choice:
    """The comment above the settings is "formula     source": five spaces or more between them."""
    import yaml

    text = path.read_text()
    comment = []
    for line in text.splitlines():
        if not line.startswith("#"):
            break
        comment.append(line.removeprefix("#").strip())
    text_of_comment = " ".join(line for line in comment if not line.startswith("@"))
    formula, *source = re.split(r" {5,}", text_of_comment, maxsplit=1)
    return Choice(name, formula, "".join(source), yaml.safe_load(text) or {})


def how_to_bring_ones_own(group: str) -> str:
    """How a function of the user's is named for a group; "" where it takes none."""
    if group == "probe":
        return "A reading of your own: probe.extra=[package.module:function], a function (params, batch, outputs)."
    if not (conf_dir() / group / "custom.yaml").is_file():
        return ""
    return (
        f"Your own: {group}.fn=package.module:function, from a module that Python finds in the current folder; from "
        f"Python xinit.run({group}=function). A YAML file of yours, DIR/{group}/NAME.yaml with fn: "
        f"package.module:function and the function's settings, is chosen with --config-dir DIR {group}=NAME. The "
        "function's source is part of what a run is: an edited one is another run."
    )


def parse_fans(text: str) -> tuple[int, int]:
    """`784,100` as (fan-in, fan-out)."""
    match = re.fullmatch(r"[\[(]?\s*([0-9]{1,9})\s*,\s*([0-9]{1,9})\s*[\])]?", text)
    if not match or 0 in (fans := (int(match[1]), int(match[2]))):
        raise InputError(f"fans is {text!r}; it must be two whole numbers above 0, fan-in and fan-out: fans=784,100.")
    return fans


def laws_at(n_in: int, n_out: int, activation: str) -> list[Row]:
    """The law of every scheme for a hidden layer between two of the given activation, the means of the fans first."""
    from xinit.networks.choices import activation_of

    f = activation_of(activation, {})
    rows = {choice.name: _row(choice, n_in, n_out, f) for choice in choices("scheme")}
    return [rows[name] for name in (*MEANS, *(name for name in rows if name not in MEANS))]


def _row(choice: Choice, n_in: int, n_out: int, f: "Activation") -> Row:
    from xinit import initializers, schemes
    from xinit.networks.mlp import plain

    given = {key: value for key, value in choice.settings.items() if value is not None}  # null: the factory's default
    options = {key: value for key, value in given.items() if key not in ("fn", "gain")}
    if choice.settings["fn"] == "???":
        return Row(choice, None, "it is yours")
    try:
        made = call_factory((schemes, initializers), choice.settings["fn"], options, "scheme")
        laws = schemes.law_of(schemes.from_function(made), plain((n_in, n_in, n_out, n_out), (f, f)))
    except InputError as error:
        return Row(choice, None, str(error).removeprefix(f"scheme {choice.name}").strip(" :."))
    return Row(choice, laws[1]) if laws else Row(choice, None, "its weights depend on the data")


def explanation(rows: Sequence[Row], n_in: int, n_out: int) -> str:
    """What the table shows: why 2 and 6 are one variance, what the means do, and which schemes are not in it."""
    variance = {row.choice.name: row.law.variance for row in rows if row.law is not None}
    glorot, ratio = variance["xavier"], n_in * variance["geometric"]
    std, bound = math.sqrt(glorot), math.sqrt(3 * glorot)
    names: dict[str, list[str]] = {}
    for row in rows:
        if row.law is None:
            names.setdefault(row.reason, []).append(row.choice.name)
    absent = "; ".join(f"{', '.join(of)} ({reason})" for reason, of in names.items())
    return (
        f"2 or 6? One variance. A normal of std sqrt(2 / ({n_in} + {n_out})) = {std:.4g} and a uniform on [-a, a] with "
        f"a = sqrt(6 / ({n_in} + {n_out})) = {bound:.4g} both have Var W = {std:.4g}^2 = {bound:.4g}^2 / 3 = "
        f"{glorot:.4g}, since U[-a, a] has variance a^2 / 3.\n"
        "n_in Var = 1 keeps the size of signals, n_out Var = 1 that of gradients (at f'(0) = 1); where the fans differ "
        f"no variance does both. Xavier misses 1 by the same amount, {n_in * glorot - 1:+.3g} and "
        f"{n_out * glorot - 1:+.3g}, and the geometric mean by the same factor, {ratio:.3g} and {1 / ratio:.3g}.\n"
        f"Not in the table: {absent}."
    )


def _table(title: str, rows: Rows, width: int) -> RenderableType:
    """A table without lines between its rows."""
    return fitted(title, rows, width, box.SIMPLE_HEAD)


def _group_rows() -> list[dict[str, str]]:
    return [{"group": group, "choices": ", ".join(choice.name for choice in choices(group))} for group in groups()]


def _choices(group: str, width: int) -> RenderableType:
    """A group's choices as a table, or where that has no room one below the other."""
    listed = choices(group)
    sources = any(choice.source for choice in listed)
    rows = [
        {"name": choice.name, "what it is": choice.formula}
        | ({"source and use": choice.source} if sources else {})
        | {"settings": _settings(choice)}
        for choice in listed
    ]
    if fits(rows, width):
        return _table(f"{group}=NAME", rows, width)
    described = [text for row in rows for text in _described(*row.values())]
    return Group(f"{group}=NAME", *described)


def _described(name: str, *texts: str) -> list[RenderableType]:
    """A choice's name, and below it what is said of it."""
    return [Text(name, "bold"), *(Padding(Text(text), (0, 0, 0, 4)) for text in texts if text)]


def _settings(choice: Choice) -> str:
    """A choice's settings as the command line takes them."""
    settings = overrides_from({key: value for key, value in choice.settings.items() if key not in NOT_SHOWN})
    more = [f"... ({len(settings) - MOST} more)"] if len(settings) > MOST else []
    return ", ".join(settings[:MOST] + more)


def _law_rows(rows: Sequence[Row], n_in: int, n_out: int) -> list[dict[str, str]]:
    """The numbers of each law that is known, with its formula and source."""
    return [
        {"scheme": row.choice.name}
        | _numbers(row.law, n_in, n_out)
        | {"formula": row.choice.formula.partition(": ")[0], "source": re.split(", for |: ", row.choice.source)[0]}
        for row in rows
        if row.law is not None
    ]


def _numbers(law: "Law", n_in: int, n_out: int) -> dict[str, str]:
    """The cells of a law; only weights that are independent may as well be uniform."""
    std = math.sqrt(law.variance)
    bound = math.sqrt(3) * std if law.structure == "independent" else None
    cells = {
        "Var W": law.variance,
        "n_in Var W": n_in * law.variance,
        "n_out Var W": n_out * law.variance,
        "std (normal)": std,
        "bound (uniform)": bound,
    }
    return {name: "-" if cell is None else f"{cell:.4g}" for name, cell in cells.items()}
