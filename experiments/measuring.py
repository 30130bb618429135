"""Measures the stages of a study: each is written as soon as it is there, and not measured twice.

about.json says of each stage how long it took, and by a key under which circumstances it was measured: its settings,
those that all stages share, the study's code but for its figures, the machine and the versions. The same command given
again reads the stages whose key is still the same.
"""

import contextlib
import datetime
import hashlib
import json
import pathlib
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from experiments.claims import NotRun
from experiments.study import Place, Study
from xinit.core import files
from xinit.core.errors import InputError

if TYPE_CHECKING:
    from xinit.commands.console import Reporter

DIGITS = 5  # of a stored number; the claims and the page see the stored ones


class Stage(NamedTuple):
    """What measures a stage, and the key of its circumstances."""

    measure: Callable[[], dict[str, Any]]
    key: str


def prepare(study: Study, parts: Sequence[str], settings: Mapping[str, Any], place: Place) -> dict[str, Stage | NotRun]:
    """What measures each stage that the parts read, or why it cannot be; all settings are checked.

    Raises:
      InputError: a setting is wrong, or none of the stages can be measured.
    """
    needed = {stage for part in parts for stage in study.module(part).STAGES}
    prepared: dict[str, Stage | NotRun] = {}
    for name in (name for name in study.stages if name in needed):
        ready = study.module(study.stages[name]).prepare(name, settings, place)
        prepared[name] = ready if isinstance(ready, NotRun) else Stage(ready, _key(study, name, settings, place))
    lacking = {name: stage.why for name, stage in prepared.items() if isinstance(stage, NotRun)}
    if len(lacking) == len(prepared):
        raise InputError(f"There is nothing to measure: {'; '.join(f'{name} {why}' for name, why in lacking.items())}.")
    _check_models(study, parts, settings)
    return prepared


def _check_models(study: Study, parts: Sequence[str], settings: Mapping[str, Any]) -> None:
    """InputError where stages lack a model that a part is about."""
    for part in parts:
        stages = study.module(part).STAGES
        trained = {model for stage in stages for model in settings[stage].get("models", ())}
        if lacking := [model for model in getattr(study.module(part), "MODELS", ()) if model not in trained]:
            where = f"{stages[0]}.models"
            raise InputError(f"{part} shows {' and '.join(lacking)}, which {where} lacks; add it or ask for another.")


def _key(study: Study, name: str, settings: Mapping[str, Any], place: Place) -> str:
    """A hash of all that a stage's results depend on, but for xinit's own code."""
    from xinit.core import backend

    shared = {key: value for key, value in settings.items() if key not in study.stages}
    machine = [backend.device_words(), backend.versions()]
    all_of_it = json.dumps([name, settings[name], shared, place.stop_after, _code(study), machine], sort_keys=True)
    return hashlib.sha256(all_of_it.encode()).hexdigest()[:16]


def _code(study: Study) -> list[str]:
    """The study's code, but for figures and tables: they may change, and nothing is measured again."""
    shown = set(study.parts) - set(study.stages.values())
    return [file.read_text() for file in sorted(study.folder.glob("*.py")) if file.stem not in shown]


def about(
    tier: str, figures: str, settings: Mapping[str, Any], prepared: Mapping[str, Stage | NotRun]
) -> dict[str, Any]:
    """What a run says of itself before it begins."""
    from xinit.core import backend

    return {
        "tier": tier,
        "settings": dict(settings),
        "machine": backend.device_words(),
        "versions": backend.versions(),
        "date": datetime.date.today().isoformat(),
        "wall_s": 0,
        "figure": figures,
        "not_run": {name: stage.why for name, stage in prepared.items() if isinstance(stage, NotRun)},
        "stages": {},
    }


def measure(
    prepared: Mapping[str, Stage | NotRun], said: Mapping[str, Any], out: pathlib.Path, reporter: "Reporter"
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The results of every stage that can be measured, and `said` with what each took.

    `wall_s` is of the stages that were read, as they took when they were measured.

    Raises:
      InputError: the folder cannot be written.
    """
    write_all(out, {})  # a folder that cannot be written is said before the work
    found, stages, read_s = {}, _earlier(out), 0.0
    for name, stage in prepared.items():
        if isinstance(stage, NotRun):
            reporter.note(f"{name}: {stage.why}")
            continue
        if (results := _kept(out, name, stage, stages)) is not None:
            found[name], read_s = results, read_s + stages[name]["wall_s"]
            reporter.note(f"{name}: measured before, in {stages[name]['wall_s']:.0f} s")
            continue
        started = time.perf_counter()
        content = json.dumps(rounded(stage.measure())).encode()
        stages[name] = {"key": stage.key, "wall_s": round(time.perf_counter() - started, 1)}
        write_all(out, {f"{name}.json": content, "about.json": as_json({**said, "stages": stages})})
        found[name] = json.loads(content)
        reporter.note(f"{name}: {stages[name]['wall_s']:.0f} s")
    return found, {**said, "stages": stages, "wall_s": round(read_s)}


def _earlier(out: pathlib.Path) -> dict[str, Any]:
    """What an earlier command says of the stages it measured."""
    with contextlib.suppress(InputError, AttributeError):
        return dict(files.read_json(out, "about.json").get("stages", {}))
    return {}


def _kept(out: pathlib.Path, name: str, stage: Stage, stages: Mapping[str, Any]) -> dict[str, Any] | None:
    """A stage's results as an earlier command left them, if it was measured under the same circumstances."""
    if stages.get(name, {}).get("key") != stage.key:
        return None
    with contextlib.suppress(InputError):  # damaged: it is measured anew
        return files.read_json(out, f"{name}.json") or None
    return None


def rounded(tree: Any, digits: int = DIGITS) -> Any:
    """The results with floats of so many digits."""
    if isinstance(tree, Mapping):
        return {name: rounded(branch, digits) for name, branch in tree.items()}
    if isinstance(tree, list | tuple):
        return [rounded(branch, digits) for branch in tree]
    return float(f"{tree:.{digits}g}") if isinstance(tree, float) else tree


def as_json(said: Mapping[str, Any]) -> bytes:
    """about.json, for people to read too."""
    return json.dumps(said, indent=1).encode()


def write_all(out: pathlib.Path, contents: Mapping[str, bytes]) -> None:
    """Write files by name, each atomically.

    Raises:
      InputError: the folder cannot be written.
    """
    with files.writing(out):
        out.mkdir(parents=True, exist_ok=True)
        for name, content in contents.items():
            files.write_atomically(out / name, content)
