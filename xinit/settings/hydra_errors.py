"""A user's mistakes as sentences: what Hydra and OmegaConf say of a command line, in our words."""

import contextlib
import re
from collections.abc import Iterator

from xinit.core.errors import InputError
from xinit.core.factories import allowed_words

# The packages that bring the launchers and sweepers of other people which conf/hydra builds on.
PACKAGES = {
    "hydra/launcher/joblib": "hydra-joblib-launcher",
    "hydra/launcher/submitit_local": "hydra-submitit-launcher",
    "hydra/launcher/submitit_slurm": "hydra-submitit-launcher",
    "hydra/launcher/ray": "hydra-ray-launcher",
    "hydra/sweeper/optuna": "hydra-optuna-sweeper",
}


def not_installed(package: str) -> str:
    """What is said where a choice needs a package that is not installed."""
    return f"{package} is not installed; pip install 'xinit[launchers]' brings it."


@contextlib.contextmanager
def translated_errors() -> Iterator[None]:
    """Turn what Hydra raises while it composes into an InputError."""
    from hydra.errors import HydraException
    from omegaconf.errors import OmegaConfBaseException

    try:
        yield
    except InputError:
        raise
    except (HydraException, OmegaConfBaseException, ValueError, TypeError, LookupError) as error:
        raise InputError(translate(error)) from error


def translate(error: Exception) -> str:
    """A message of Hydra's or OmegaConf's as one sentence: what was wrong, what came, what is allowed."""
    from hydra.errors import HydraException, OverrideParseException
    from omegaconf.errors import OmegaConfBaseException

    message = " ".join(str(error).split()) or type(error).__name__
    chosen = re.search(r"Could not (?:find|load) '(hydra/[^']*)'", message)
    if chosen and chosen[1] in PACKAGES:
        return not_installed(PACKAGES[chosen[1]])
    if match := re.search(r"Could not find '(hydra/\w+|\w+)/([^']*)'", message):
        choices = re.findall(r"^\t(\S+)$", str(error), re.MULTILINE)
        return f"Unknown {match[1]} {match[2]!r}; {allowed_words(match[2], choices)}"
    if "Missing mandatory value" in message:
        key = getattr(error, "full_key", None)
        return f"The setting {key} is missing; give it as {key}=VALUE."
    if isinstance(error, TypeError) or "Config group override must be" in message:
        return f"A group takes a name, as in activation=tanh; this command line cannot be read ({message})."
    if match := re.match(r"Multiple values for (\w+)\.", message):
        return f"{match[1]} is given more than once; it must be one name, as in {match[1]}=NAME."
    if isinstance(error, OverrideParseException):
        return _of_the_grammar(error.override, message)
    if isinstance(error, OmegaConfBaseException):
        first = str(error).partition("\n")[0]
        return f"The setting {getattr(error, 'full_key', None) or ''} cannot be read: {first}."
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename} cannot be written: {error.strerror}."
    if isinstance(error, HydraException):
        return message.replace("'++", "'")  # the pluses that `compose.normalise` has set before a setting
    return f"This command line cannot be read: {message}."


def _of_the_grammar(override: str, message: str) -> str:
    """What is wrong with an argument that Hydra's grammar does not know."""
    reason = re.sub(r"^Error parsing override '.*?' (?=\S)| See https://\S+ for details$", "", message)
    if reason.startswith("LexerNoViableAltException"):
        reason = "a character in it needs quotes"
    return (
        f"The argument {override.lstrip('+')!r} cannot be read: {reason}; quotes make it a text, as in \"name='a b'\"."
    )
