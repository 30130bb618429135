"""Arrays of the user's: x and y in an .npz, in a folder of .npy, or given by Python as `xinit.run(data=(x, y))`."""

import dataclasses
import pathlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, ClassVar, Self

from xinit.core.errors import InputError
from xinit.core.identity import OUTSIDE_IDENTITY
from xinit.core.rules import INDEX, Flag, Range, Rule, Seed, Text, at_least
from xinit.data import array_files, user_arrays, user_parts
from xinit.data.contract import DataSettings, Sizes

if TYPE_CHECKING:
    from xinit.data.dataset import Dataset

PART = "a whole number of examples, at least 1, or a share of them above 0 and below 1"
Part = Annotated[int | float, Rule(lambda v: 0 < v < 1 or (v >= 1 and float(v).is_integer()), PART)]


@dataclass(frozen=True)
class Settings(DataSettings):
    """The file, what its arrays are cut into, and how they are read; what is None is found from the arrays.

    `content` is a checksum of the arrays: a run is known by what they hold, and not by the name of the file.
    """

    of_the_user: ClassVar[bool] = True
    kind: Text
    file: Text = field(metadata=OUTSIDE_IDENTITY)
    train: Part | None = None
    valid: Part | None = None
    test: Part | None = None
    split_seed: Seed | None = 0
    pixel_range: Range | None = (-1.0, 1.0)
    standardise: Flag = False
    classes: Annotated[int, at_least(2), INDEX] | None = None
    content: Text | None = None

    @property
    def label(self) -> str:
        """The name of the file; arrays that Python has given have none."""
        return "arrays" if self.file.startswith(array_files.HELD) else pathlib.Path(self.file).stem

    @property
    def sizes(self) -> Sizes:
        """The sizes of the parts."""
        return user_parts.cut(self._given, {"train": self.train, "valid": self.valid, "test": self.test})

    @property
    def targets(self) -> str:
        """Labels where y is whole numbers, else values."""
        return self._given.targets

    @property
    def _given(self) -> user_arrays.Given:
        given = array_files.stored(self.file)
        if self.content not in (None, given.content, given.content_and_shape):
            raise InputError(
                f"data.content is {self.content}; {self.file} has changed since, its arrays now have the checksum "
                f"{given.content}."
            )
        return given

    def resolved(self, batch_size: int) -> Self:
        """The settings with the sizes of the parts, the number of classes and the checksum."""
        given, sizes = self._given, self.sizes
        user_parts.check_batch(batch_size, sizes, given)
        classes = user_arrays.count_classes(given, self.classes)
        return dataclasses.replace(self, **sizes._asdict(), classes=classes, content=given.content)

    def with_shape(self) -> Self:
        """The settings with the shape of images beside the checksum."""
        return dataclasses.replace(self, content=self._given.content_and_shape)

    def dataset(self, batch_size: int) -> "Dataset":
        """The set as it is stored, in the memory of the host."""
        return user_parts.dataset(
            self._given,
            self.sizes,
            batch_size,
            seed=self.split_seed,
            classes=self.classes,
            pixel_range=self.pixel_range,
            standardise=self.standardise,
        )
