"""What a study is: a folder with study.yaml, stages that measure, parts that show, claims and a page; and its command.

A stage is a module with

    def prepare(name: str, settings: Mapping[str, Any], place: Place) -> Callable[[], dict[str, Any]] | NotRun

which checks its settings, `settings[name]`, raises InputError for a wrong one and does no work. What it returns
measures, and gives a tree of dicts, lists, numbers and texts; NotRun says why it cannot. A tier has the stages that its
YAML has settings for. Settings that are no stage's own are shared by all.

A part, a figure or a table, is a module with

    STAGES = ("signal",)                                 # the stages it reads
    MODELS = ("he", "lecun")                             # optional: what their settings must have under `models`
    DRAWS_SO_FAR = True                                  # optional: draw training that was stopped early
    def metrics(found: Mapping[str, Any]) -> Metrics     # names begin with the part's own: "figure6.ratio"
    def draw(found: Mapping[str, Any]) -> "Figure"       # optional, as is
    def table(found: Mapping[str, Any]) -> list[Mapping[str, str]]
    def tables(found: Mapping[str, Any]) -> Mapping[str, list[Mapping[str, str]]]    # {tables.NAME} on the page

`found[stage]` are a stage's results as they are stored, in JSON with five digits; stages whose data were not at hand
are absent, but never all of a part's.
"""

import functools
import importlib
import pathlib
import re
import sys
import textwrap
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any, NamedTuple

from experiments import claims, tiers
from xinit.commands import cli
from xinit.core import folders, interrupts
from xinit.core.errors import InputError
from xinit.core.factories import allowed_words

HERE = pathlib.Path(__file__).parent


class Place(NamedTuple):
    """Where a command writes and finds data, and at which update it stops, if the command says so."""

    out: pathlib.Path
    data_dir: str | None = None
    stop_after: str | None = None


@dataclass(frozen=True)
class Study:
    """A study as its study.yaml says.

    `stages` name their modules, `parts` are modules, in the order of the page. `minutes` is the expected wall time of a
    tier on two quiet cores; `examples` are arguments of the command, and what they do in words. `small` are settings
    under which a tier takes seconds and its claims still hold: the tests try the counterexamples there.
    """

    name: str
    title: str
    source: str
    question: str
    stages: Mapping[str, str]
    parts: tuple[str, ...]
    minutes: Mapping[str, float]
    examples: Mapping[str, str] = field(default_factory=dict)
    small: Mapping[str, Sequence[str]] = field(default_factory=dict)

    @property
    def folder(self) -> pathlib.Path:
        """Where its modules lie, its claims and page, and its kept results."""
        return HERE / self.name

    @property
    def results(self) -> pathlib.Path:
        """Where what is kept of its runs lies."""
        return self.folder / "results"

    def module(self, name: str) -> ModuleType:
        """The module of a part, or of a stage by its module's name."""
        return importlib.import_module(f"{__package__}.{self.name}.{name}")

    def stages_of(self, settings: Mapping[str, Any]) -> list[str]:
        """The stages that a tier has settings for."""
        return [name for name in self.stages if name in settings]

    def parts_of(self, settings: Mapping[str, Any]) -> list[str]:
        """The parts whose stages a tier measures, all of them."""
        stages = set(self.stages_of(settings))
        return [part for part in self.parts if set(self.module(part).STAGES) <= stages]

    def tiers(self) -> dict[str, dict[str, Any]]:
        """The settings of each of its tiers."""
        return {tier: tiers.load(self.name, tier) for tier in tiers.names(self.name)}

    def claims_of(self, part: str) -> list[claims.Claim]:
        """The claims about a part."""
        file = self.folder / "claims" / f"{part}.yaml"
        return claims.load(file) if file.exists() else []

    def claims(self) -> list[claims.Claim]:
        """All claims, in the order of the parts."""
        return [claim for part in self.parts for claim in self.claims_of(part)]

    def asked(self, figures: str, tier: str, settings: Mapping[str, Any]) -> list[str]:
        """The parts that figure=... names: all, or some with commas between them; "6" is figure6.

        Raises:
          InputError: there is no such part, or the tier does not measure what it shows.
        """
        if figures == "all":
            return self.parts_of(settings)
        wanted = [self._part(figure) for figure in figures.split(",")]
        for part in wanted:
            if part not in self.parts_of(settings):
                able = [f"tier={name}" for name, other in self.tiers().items() if part in self.parts_of(other)]
                raise InputError(f"tier={tier} does not measure figure={figures}; use {' or '.join(able)}.")
        return [part for part in self.parts if part in wanted]

    def _part(self, figure: str) -> str:
        by_name = dict(zip(self.figures(), self.parts, strict=True)) | {part: part for part in self.parts}
        if figure not in by_name:
            raise InputError(f"Unknown figure {figure!r}; {allowed_words(figure, ['all', *self.figures()])}")
        return by_name[figure]

    def figures(self) -> list[str]:
        """The parts as figure=... names them: 6 is figure6."""
        return [re.sub(r"^figure(?=\d)", "", part) for part in self.parts]


def names() -> list[str]:
    """All studies there are."""
    return sorted(file.parent.name for file in HERE.glob("*/study.yaml"))


@functools.cache
def load(name: str) -> Study:
    """The study in the folder of that name.

    Raises:
      InputError: there is none.
    """
    import yaml

    if name not in names():
        raise InputError(f"Unknown study {name!r}; {allowed_words(name, names())}")
    raw = yaml.safe_load((HERE / name / "study.yaml").read_text())
    return Study(name=name, **{**raw, "parts": tuple(raw["parts"])})


def main(package: str, arguments: Sequence[str] | None = None) -> int:
    """Run the study of that package, or of that name, as the command line asks; the exit code."""
    study = load(package.rpartition(".")[2])
    return run_command(help_text(study), arguments, lambda given: run(study, given))


def run(study: Study, given: Mapping[str, str]) -> int:
    """Measure, check the claims, draw, write the page; the exit code.

    Raises:
      InputError: a setting is wrong; nothing was measured.
    """
    from experiments import measuring, publishing
    from xinit.commands.console import Reporter

    started, given = time.perf_counter(), dict(given)
    if folder := given.pop("redraw", None):
        return publishing.redraw(study, pathlib.Path(folder), given)
    tier, figures = given.pop("tier", claims.TIERS[0]), given.pop("figure", "all")
    out = pathlib.Path(given.pop("out", f"runs/{study.name}/{tier}"))
    place = Place(out, given.pop("data_dir", None), given.pop("stop_after", None))
    settings = tiers.load(study.name, tier, [f"{key}={value}" for key, value in given.items()])
    parts = study.asked(figures, tier, settings)
    use_this_machine()
    reporter = Reporter()
    prepared = measuring.prepare(study, parts, settings, place)
    said = measuring.about(tier, figures, settings, prepared)
    found, said = measuring.measure(prepared, said, out, reporter)
    said["wall_s"] += round(time.perf_counter() - started)
    checked = publishing.publish(study, out, said, found)
    reporter.table(f"{study.name}, tier={tier}: {said['wall_s']} s", claims.rows(checked))
    reporter.note(f"page: {out / 'page.md'}")
    reporter.next("xinit.report", str(out))
    return claims.exit_code(checked)


def run_command(words: str, arguments: Sequence[str] | None, act: Callable[[dict[str, str]], int]) -> int:
    """`act` on the arguments SETTING=VALUE by name; the exit code. A mistake of the user's is one sentence."""
    arguments = sys.argv[1:] if arguments is None else arguments
    if {"-h", "--help"} & set(arguments):
        print(words)
        return cli.DONE
    import jax

    try:
        with jax.enable_x64(False):  # a study computes in 32 bits, as runs do
            return act(_parsed(arguments))
    except InputError as error:
        return cli.complain(str(error))
    except KeyboardInterrupt:
        return interrupts.say()


def _parsed(arguments: Sequence[str]) -> dict[str, str]:
    if wrong := [argument for argument in arguments if "=" not in argument]:
        raise InputError(f"The argument {wrong[0]} cannot be read; it must be SETTING=VALUE, such as tier=cpu.")
    given = dict(argument.split("=", 1) for argument in arguments)
    for name in given.keys() & {"out", "data_dir", "redraw"}:
        if not folders.can_be_folder(given[name]):
            raise InputError(f"{name} is {given[name]!r}; it must be {folders.WORDS}.")
    return given


def use_this_machine() -> None:
    """A device for each core, and compiled programs kept for the next run."""
    from xinit.core import backend

    backend.use_a_cpu_device_for_each_core()
    backend.use_compilation_cache()


HELP = """\
{title} ({source}). {question}

    python -m experiments.{name} SETTING=VALUE ...

{examples}

Writes the figures (PNG and SVG), what each stage measured (JSON), claims.json and a page to read to out=FOLDER, by
default runs/{name}/<tier>. Time on two cores: {times}. Exit code 4 where a claim FAILs.

The same command goes on where it was cut: stages and training runs that are done are not done twice. Data that lie in
a folder need data_dir=FOLDER; claims about what was not measured are NOT RUN. Any setting of a tier, in
conf/experiment/{name}/<tier>.yaml, can be changed: setting=value. stop_after=UPDATE ends training early, to go on
later. redraw=FOLDER measures nothing: claims, page and figures anew from the results in FOLDER. figure= takes one or
some, with commas, of: {figures}."""


def help_text(study: Study) -> str:
    """What --help prints."""
    width = max(map(len, study.examples), default=0)
    minutes = {1: "a minute"}
    times = [f"tier={tier} {minutes.get(number, f'{number:g} minutes')}" for tier, number in study.minutes.items()]
    text = HELP.format(
        **{name: getattr(study, name) for name in ("title", "source", "question", "name")},
        examples="\n".join(f"    {given:<{width}}  {words}" for given, words in study.examples.items()),
        times=" and ".join(filter(None, [", ".join(times[:-1]), times[-1]])),
        figures=", ".join(study.figures()),
    )
    filled = lambda paragraph: paragraph if paragraph.startswith(" ") else textwrap.fill(paragraph, 120)
    return "\n\n".join(map(filled, text.split("\n\n")))
