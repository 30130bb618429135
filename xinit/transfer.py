"""Does the learning rate carry over width or depth: `python -m xinit.transfer scheme=mup widths=[64,128,256,512]`.

Networks of every size are trained at every learning rate. All runs are runs like any others, so a transfer that was cut
goes on with the same command; the exit code says what came of it.
"""

from xinit.core import interrupts

if __name__ == "__main__":
    interrupts.end_at_once()  # the imports below take a while

import pathlib
import sys
from typing import Any

from xinit.commands import cli
from xinit.core.errors import InputError
from xinit.core.rules import at_least
from xinit.settings.config import NETWORKS
from xinit.settings.parse import check_names, count_of


def main() -> int:
    """Train and judge what the command line asks for; the exit code."""
    codes: list[int] = []
    return cli.hydra_main(lambda raw: codes.append(transfer(raw)), "transfer") or max(codes, default=cli.DONE)


def transfer(raw: dict[str, Any]) -> int:
    """One learning-rate transfer, shown and written; its exit code.

    Raises:
      InputError: a setting is unknown or wrong, and nothing was trained; or as `scaling.losses` and `transfer.judge`.
    """
    from xinit.analysis.transfer import judge
    from xinit.commands import console, scaling
    from xinit.core import folders
    from xinit.runs import hosts

    check_names(raw, ("seeds", "widths", "depths", "learning_rates"))
    seeds = count_of(raw, "seeds", at_least(2), NETWORKS)
    over, values = scaling.sizes_of(raw)
    rates = scaling.rates_of(raw)
    if type(raw["seed"]) is not int or raw["init_seed"] != raw["seed"] or raw["data_seed"] != raw["seed"]:
        raise InputError("init_seed or data_seed is given; a transfer counts its seeds from seed, a whole number.")
    if raw["probe"].get("tier") == "off":
        raise InputError(
            "probe is off; a transfer reads the validation loss that a probe measures, as in probe=economy."
        )
    losses, outcomes = scaling.losses(over, values, raw, rates, seeds)
    result, config = judge(losses), outcomes[0].config
    if hosts.index_and_count()[0] == 0:
        reporter = console.Reporter()
        reporter.table(f"best learning rate over {over}; {config.steps:,} steps of {config.batch_size}", result.rows())
        reporter.verdict(result.verdict)
        name = folders.name_of_members(outcome.path.name for outcome in outcomes)
        folder = result.save(pathlib.Path(config.out, "transfers", name))
        reporter.note(f"transfer: {folder}")
        reporter.picture(folder / "transfer.png")
        reporter.next("xinit.report", str(folder))
    return cli.exit_code_of(result.level, config.strict)


if __name__ == "__main__":
    sys.exit(main())
