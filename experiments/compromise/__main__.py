"""Why 2 / (n_in + n_out), what kind of mean is it, and does it matter?

    python -m experiments.compromise tier=init                     no training
    python -m experiments.compromise tier=cpu data_dir=FOLDER      also trained networks, on Shapeset and MNIST
    python -m experiments.compromise tier=init schemes.xavier=geometric     any setting of the tier can be changed

Writes a page with its figures, results.json and claims.json to out=FOLDER, by default runs/compromise/<tier>; training
runs lie there too and are not done twice. Expected: no claim FAILs (exit code 4 where one does); on two cores tier=init
takes 25 to 45 seconds, longest where nothing is compiled yet, and tier=cpu five to six minutes. Settings:
conf/experiment/compromise/<tier>.yaml.
"""

import datetime
import json
import pathlib
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any

from experiments import claims, tiers
from xinit import cli
from xinit.console import Reporter
from xinit.errors import InputError
from xinit.record import write_atomically, writing

STUDY = "compromise"
CLAIMS = pathlib.Path(__file__).with_name("claims.yaml")
DIGITS = 7  # of a stored number: as many as float32 has; the claims and the page see the stored ones


def main(arguments: Sequence[str]) -> int:
    """Run the study that the command line asks for; the exit code."""
    if {"-h", "--help"} & set(arguments):
        print(__doc__)
        return cli.DONE
    try:
        return study(*_parsed(arguments))
    except InputError as error:
        return cli.complain(str(error))
    except KeyboardInterrupt:
        return 128 + signal.SIGINT


def _parsed(arguments: Sequence[str]) -> tuple[str, pathlib.Path, list[str]]:
    """The tier, the folder for the output, and the changed settings."""
    if wrong := [argument for argument in arguments if "=" not in argument]:
        raise InputError(f"The argument {wrong[0]} cannot be read; it must be SETTING=VALUE, such as tier=cpu.")
    given = dict(argument.split("=", 1) for argument in arguments)
    tier = given.pop("tier", claims.TIERS[0])
    out = given.pop("out", f"runs/{STUDY}/{tier}")
    return tier, pathlib.Path(out), [f"{key}={value}" for key, value in given.items()]


def study(tier: str, out: pathlib.Path, changes: Sequence[str]) -> int:
    """Measure, check the claims, write the page; the exit code.

    Raises:
      InputError: a setting is wrong; nothing was measured.
    """
    started, settings = time.perf_counter(), tiers.load(STUDY, tier, changes)
    from xinit import backend

    backend.use_a_cpu_device_for_each_core()
    backend.use_compilation_cache()
    reporter = Reporter()
    found = _measure(settings, out, reporter)
    kept = {name: value for name, value in settings.items() if name != "data_dir"}  # where data lie says nothing here
    about = {"tier": tier, "settings": kept, "machine": backend.device_words(), "versions": backend.versions()}
    about |= {"date": datetime.date.today().isoformat(), "wall_s": round(time.perf_counter() - started)}
    checked = publish(out, rounded(about | found))
    reporter.table(f"{STUDY}, tier={tier}: {about['wall_s']} s", claims.rows(checked))
    reporter.note(f"page: {out / 'page.md'}")
    return claims.exit_code(checked)


def _measure(settings: Mapping[str, Any], out: pathlib.Path, reporter: Reporter) -> dict[str, Any]:
    """The results of every part; all settings are checked before the first begins."""
    from experiments.compromise import linear, trained

    linear.check(settings)
    cells = trained.prepare(settings, out) if "trained" in settings else None
    with writing(out):
        out.mkdir(parents=True, exist_ok=True)
    found: dict[str, Any] = {}
    for name, part in _parts().items():
        started = time.perf_counter()
        if part is not trained:
            found[name] = part.run(settings)
        elif cells is not None:
            found[name] = trained.run(settings, cells)
        if name in found:
            reporter.note(f"{name}: {time.perf_counter() - started:.0f} s")
    return found


def _parts() -> dict[str, Any]:
    """The study's figures and tables: each module has `run`, `metrics` of its results and, but for a table, `draw`."""
    from experiments.compromise import ends, minimax, nonlinear, propagation, roughness, trained

    parts = propagation, roughness, minimax, ends, nonlinear, trained
    return {part.__name__.rpartition(".")[2]: part for part in parts}


def measured(results: Mapping[str, Any]) -> claims.Metrics:
    """What the claims are about, from the results alone."""
    found: dict[str, Any] = {}
    for name, part in _parts().items():
        found |= part.metrics(results[name]) if name in results else {}
    return found


def publish(out: pathlib.Path, results: Mapping[str, Any]) -> list[claims.Checked]:
    """Write results.json, and from it the figures, claims.json and the page; the claims, checked."""
    from experiments.compromise import drawing, page

    metrics = measured(results)
    checked = claims.check(claims.load(CLAIMS), metrics, results["tier"])
    contents = {"results.json": json.dumps(results).encode(), "claims.json": claims.as_json(checked).encode()}
    contents["page.md"] = page.render(results, metrics, checked).encode()
    for name, part in _parts().items():
        if results.get(name) and hasattr(part, "draw"):
            contents[f"{name}.png"] = drawing.rendered(part.draw(results[name]))
    with writing(out):
        for name, content in contents.items():
            write_atomically(out / name, content)
    return checked


def rounded(tree: Any) -> Any:
    """The results with floats of `DIGITS` digits."""
    if isinstance(tree, Mapping):
        return {name: rounded(branch) for name, branch in tree.items()}
    if isinstance(tree, list):
        return [rounded(branch) for branch in tree]
    return float(f"{tree:.{DIGITS}g}") if isinstance(tree, float) else tree


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
