"""Why 2 / (n_in + n_out), what kind of mean is it, and does it matter?

    python -m experiments.compromise tier=init                     no training
    python -m experiments.compromise tier=cpu data_dir=FOLDER      also trained networks, on Shapeset and MNIST
    python -m experiments.compromise tier=init schemes.xavier=geometric     any setting of the tier can be changed

Writes a page with its figures, results.json and claims.json to out=FOLDER, by default runs/compromise/<tier>; training
runs lie there too and are not done twice. Expected: no claim FAILs (exit code 4 where one does); on two cores tier=init
takes 25 to 45 seconds, longest where nothing is compiled yet, and tier=cpu five to six minutes. Settings:
conf/experiment/compromise/<tier>.yaml.
"""

from xinit.core import interrupts

if __name__ == "__main__":
    interrupts.end_at_once()  # the imports below take a while

import json
import pathlib
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any

from experiments import claims, drawing, tiers
from experiments.compromise import page
from experiments.study import about, rounded, run_command, use_this_machine, write_all
from xinit.commands.console import Reporter

STUDY = "compromise"
CLAIMS = pathlib.Path(__file__).with_name("claims.yaml")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the study that the command line asks for; the exit code."""
    return run_command(__doc__, arguments, study)


def study(given: dict[str, str]) -> int:
    """Measure, check the claims, write the page; the exit code.

    Raises:
      InputError: a setting is wrong; nothing was measured.
    """
    started, tier = time.perf_counter(), given.pop("tier", claims.TIERS[0])
    out = pathlib.Path(given.pop("out", f"runs/{STUDY}/{tier}"))
    settings = tiers.load(STUDY, tier, [f"{key}={value}" for key, value in given.items()])
    use_this_machine()
    reporter = Reporter()
    found = _measure(settings, out, reporter)
    said = about(tier, settings, started)
    checked = publish(out, rounded(said | found))
    reporter.table(f"{STUDY}, tier={tier}: {said['wall_s']} s", claims.rows(checked))
    reporter.note(f"page: {out / 'page.md'}")
    return claims.exit_code(checked)


def _measure(settings: Mapping[str, Any], out: pathlib.Path, reporter: Reporter) -> dict[str, Any]:
    """The results of every part; all settings are checked before the first begins."""
    from experiments.compromise import linear, trained

    linear.check(settings)
    cells = trained.prepare(settings, out) if "trained" in settings else None
    write_all(out, {})  # a folder that cannot be written is said before the work
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
    metrics = measured(results)
    checked = claims.check(claims.load(CLAIMS), metrics, results["tier"])
    contents = {"results.json": json.dumps(results).encode(), "claims.json": claims.as_json(checked).encode()}
    contents["page.md"] = page.render(results, metrics, checked).encode()
    for name, part in _parts().items():
        if results.get(name) and hasattr(part, "draw"):
            contents[f"{name}.png"] = drawing.rendered(part.draw(results[name]))
    write_all(out, contents)
    return checked


if __name__ == "__main__":
    sys.exit(main())
