"""What the settings of a data set must offer, and how a set is found by its kind. Nothing here imports jax.

To add a set: a module of this package with a frozen dataclass `Settings(DataSettings)`, and a YAML file in conf/data
whose `kind` is the module's name. The module imports jax, where it needs it, inside of `dataset`: settings are read
where nothing is computed.
"""

import dataclasses
import importlib
import pkgutil
import re
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Protocol, Self

from xinit import data
from xinit.core.errors import InputError

if TYPE_CHECKING:
    from xinit.data.dataset import Dataset

HAS_SETTINGS = re.compile(r"^class Settings\b", re.MULTILINE)


class Sizes(NamedTuple):
    """The number of examples in each part; of generated data those of an epoch are for training."""

    train: int
    valid: int
    test: int


class DataSettings(Protocol):
    """The settings of a data set. A class that names this one as its base takes the defaults below."""

    __dataclass_fields__: ClassVar[dict[str, dataclasses.Field[Any]]]
    kind: str
    of_the_user: ClassVar[bool] = False  # a set of any size: where the test set is small, all of it is probed
    published_examples: ClassVar[int | None] = None  # how many examples a paper trained on, where one says so

    @property
    def label(self) -> str:
        """A short name for tables and folders."""
        return self.kind

    @property
    def sizes(self) -> Sizes:
        """The number of examples in each part.

        Raises:
          InputError: the set is not at hand, or has no such parts.
        """
        ...

    @property
    def targets(self) -> str:
        """What y is, as in `Dataset`: "labels" or "values"."""
        return "labels"

    @property
    def sound_examples(self) -> int | None:
        """How many examples, in batches of 10, most sound networks need to leave chance; None where nobody measured.

        The verdict on a run at chance rests on it, with `sound_factor` of conf/verdict for slower ones.
        """
        return None

    @property
    def generated_bytes(self) -> int:
        """The memory of the fixed examples that `Dataset.load` generates; 0 where `dataset` has loaded them."""
        return 0

    def resolved(self, batch_size: int) -> Self:
        """The settings with what was left open filled in.

        Raises:
          InputError: they do not go with the batch size, or as `sizes`.
        """
        return self

    def with_shape(self) -> Self:
        """The settings of a run whose network may read the shape of an example: its identity then covers the shape.

        Only arrays of the user's can have the same numbers in another shape.
        """
        return self

    def dataset(self, batch_size: int) -> "Dataset":
        """The data set that these settings describe."""
        ...


def kinds() -> list[str]:
    """The kinds of data sets there are: the modules of this package that have a class `Settings`."""
    return sorted(name for name, module in _modules().items() if _has_settings(module))


def settings_class(kind: Any) -> type[DataSettings]:
    """The class of the settings of a kind of data set.

    Raises:
      InputError: there is no such kind.
    """
    module = _modules().get(str(kind))
    if module is None or not _has_settings(module):
        raise InputError(f"data.kind is {kind!r}; it must be one of {', '.join(kinds())}.")
    settings: type[DataSettings] = importlib.import_module(f"{data.__name__}.{kind}").Settings
    return settings


def _modules() -> dict[str, pkgutil.ModuleInfo]:
    return {module.name: module for module in pkgutil.iter_modules(data.__path__)}


def _has_settings(module: pkgutil.ModuleInfo) -> bool:
    """Whether a module has a class `Settings`, from its text: importing it may take a second, or fail."""
    finder: Any = module.module_finder  # of this package's folder; its modules have a source
    source = finder.find_spec(module.name).loader.get_source(module.name)
    return HAS_SETTINGS.search(source) is not None
