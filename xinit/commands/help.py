"""What --help prints: what most people need, and with `--help all` every setting with the comment of its YAML file."""

import pathlib
import re
import shutil
import textwrap
from collections.abc import Sequence
from typing import Any, NamedTuple

from xinit.settings.compose import APPENDED, conf_dir

# What is shown of the settings of a run, beside an entry's own; by entry, since most matter to some alone.
SHOWN = {
    "train": ("scheme", "activation", "depth", "width", "data", "optimizer.learning_rate", "steps", "batch_size",
              "seed", "network", "probe", "out"),
    "inspect": ("scheme", "activation", "depth", "width", "profile", "network", "data", "strict", "out"),
    "compare": ("activation", "depth", "width", "data", "network", "optimizer", "steps", "seed", "out"),
    "theory": ("activation",),
    "coordinates": ("scheme", "activation", "network", "optimizer", "optimizer.learning_rate", "out"),
    "transfer": ("scheme", "activation", "network", "optimizer", "seed", "out"),
}  # fmt: skip
LINE = re.compile(r"(?P<indent> *)(?:- )?(?P<key>[a-z_]+):(?: +(?P<value>[^#\s][^#]*?))? *(?:# *(?P<comment>.*))?")
COLUMN = 31  # of a setting's explanation
MOST_COLUMNS = 110  # of a line that is read


class Setting(NamedTuple):
    """A setting as the command line names it, its default as in YAML, and the comment that explains it."""

    name: str
    default: str
    comment: str


def asked(arguments: Sequence[str]) -> str | None:
    """Which help a command line asks for: "short" or "all"; None where it asks for none."""
    if not {"-h", "--help", "--help=all"} & set(arguments):
        return None
    return "all" if {"all", "--help=all"} & set(arguments) else "short"


def text(entry: str, which: str, arguments: Sequence[str] = ()) -> str:
    """The help of an entry, "short" or "all"; the latter explains the choices that the arguments make.

    >>> text("theory", "short").splitlines()[0][:25]
    'python -m xinit.theory: m'
    """
    own = settings_in(conf_dir() / f"{entry}.yaml")
    of_runs = settings_in(conf_dir() / "run.yaml") if entry != "theory" else []
    if which == "short":
        first = (setting for name in SHOWN[entry] for setting in [*_all(of_runs, []), *own] if setting.name == name)
        shown = [*(setting for setting in own if setting.name not in SHOWN[entry]), *first]
        more = f"python -m xinit.{entry} --help all   explains every setting\n" if of_runs else ""
        parts = [_titled("Settings most people need, with their defaults", shown), _choices(entry, more)]
    else:
        names = {setting.name for setting in own}
        general = [setting for setting in _all(of_runs, arguments) if setting.name not in names]
        parts = [_titled("Settings and their defaults", [*own, *general]), _groups(), OPTIONS.format(entry=entry)]
    return "\n\n".join([_head(entry), *parts])


OPTIONS = """\
Options: --cfg job prints the settings that a command line makes; -m runs every combination of the values with commas
between them; --config-dir DIR adds YAML files of yours; --hydra-help lists the rest. To complete names with the tab
key, in bash: eval "$(python -m xinit.{entry} -sc install=bash)"."""


def settings_in(file: pathlib.Path, prefix: str = "") -> list[Setting]:
    """The settings of a YAML file with their comments, choices of groups first; Hydra's own and `fn` are left out.

    >>> settings_in(conf_dir() / "optimizer" / "sgd.yaml", "optimizer.")[0].name
    'optimizer.learning_rate'
    """
    found, above = [], ""
    for line in file.read_text().splitlines():
        match = LINE.fullmatch(line)
        if line.startswith("hydra:"):
            break
        if not match or match["key"] in ("defaults", "fn", "kind", "tier") or "/" in line.partition("#")[0]:
            continue
        key, indented = match["key"], bool(match["indent"])
        is_choice = line.lstrip().startswith("- ")
        if not indented:
            above = "" if match["value"] else f"{key}."
        if match["value"]:
            path = prefix + (above if indented and not is_choice else "") + key
            found.append(Setting(path, match["value"], match["comment"] or ""))
    return found


def _all(of_runs: Sequence[Setting], arguments: Sequence[str]) -> list[Setting]:
    """The settings of a run and, behind them, those of the choices that its groups make."""
    chosen = {group: name for group, _, name in (argument.lstrip("+").partition("=") for argument in arguments)}
    files = {s.name: conf_dir() / s.name / f"{chosen.get(s.name, s.default)}.yaml" for s in of_runs}
    groups = {name: file for name, file in files.items() if file.is_file()}
    return [*of_runs, *(one for name, file in groups.items() for one in settings_in(file, f"{name}."))]


def _head(entry: str) -> str:
    """What the command does, and examples."""
    import yaml

    raw: Any = yaml.safe_load((conf_dir() / f"{entry}.yaml").read_text())
    return str(raw["hydra"]["help"]["template"]).replace("${hydra.help.header}", raw["hydra"]["help"]["header"]).strip()


def _titled(title: str, settings: Sequence[Setting]) -> str:
    width = min(MOST_COLUMNS, shutil.get_terminal_size((MOST_COLUMNS, 24)).columns)
    lines = []
    for name, default, comment in dict.fromkeys(settings):
        shown = f"  {name}={re.sub(', ', ',', default)}"
        if len(shown) >= COLUMN:
            lines.append(shown)
            shown = ""
        indent = " " * COLUMN
        lines += textwrap.wrap(f"{shown:<{COLUMN}}{comment}", width, subsequent_indent=indent) if comment else [shown]
    return "\n".join([f"{title} (give them as NAME=VALUE):", "", *filter(None, lines)])


def _choices(entry: str, more: str) -> str:
    return (
        f"{more}python -m xinit.list schemes{' ' * (len(entry) + 2)}names the choices of a group, each with its formula"
    )


def _groups() -> str:
    """The groups, and the names that each can be given."""
    lines = []
    for folder in sorted(path for path in conf_dir().iterdir() if path.is_dir() and path.name not in ("hydra",)):
        names = sorted(file.stem for file in folder.glob("*.yaml"))
        if folder.name not in set(APPENDED) - {"scheme"}:
            lines.append(textwrap.fill(f"  {folder.name}: {', '.join(names)}", MOST_COLUMNS, subsequent_indent="    "))
    title = "Groups: choose with GROUP=NAME, change a value inside with GROUP.KEY=VALUE:"
    return "\n".join([title, "", *lines])
