"""A set that a function of the user's returns: `data.fn=mymodule:my_data`, its options by name."""

import dataclasses
import functools
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Self

from xinit.core.custom import calling, import_function, is_custom, source_of
from xinit.core.errors import InputError
from xinit.core.factories import call_with_options
from xinit.core.rules import Range, Rule, Text
from xinit.data import user_arrays, user_parts
from xinit.data.contract import DataSettings, Sizes

if TYPE_CHECKING:
    from xinit.data.dataset import Dataset

SPLIT_SEED = 0  # of the order in which arrays are cut that the function does not cut itself
OPEN = dict.fromkeys(("train", "valid", "test"))

_returned: dict[tuple[str, str, str], user_arrays.Given] = {}  # by the function, its options and its source


@dataclass(frozen=True)
class Settings(DataSettings):
    """The function as module:function, and the options that it is called with.

    It returns arrays by the names of `user_arrays`, (x, y), or a pair (x, y) for each part. `content` is a checksum of
    them, as in `arrays`.
    """

    of_the_user: ClassVar[bool] = True
    kind: Text
    fn: Annotated[str, Rule(is_custom, "a function of yours, as module:function")]
    pixel_range: Range | None = (-1.0, 1.0)
    options: Mapping[str, Any] = field(default_factory=dict)
    content: Text | None = None

    @property
    def label(self) -> str:
        """The function's name."""
        return self.fn.rpartition(":")[2]

    @property
    def sizes(self) -> Sizes:
        """The sizes of the parts."""
        return user_parts.cut(self._given, OPEN)

    @property
    def targets(self) -> str:
        """Labels where y is whole numbers, else values."""
        return self._given.targets

    @functools.cached_property
    def _given(self) -> user_arrays.Given:
        """What the function returns; it is called once for its options, until its source changes."""
        key = self.fn, json.dumps(dict(self.options), sort_keys=True, default=repr), source_of("data.fn", self.fn)
        if key not in _returned:
            function = import_function("data.fn", self.fn)
            returned = calling("data.fn", self.fn, call_with_options, function, self.options, "data", ["pixel_range"])
            function_words = f"data.fn {self.fn!r}"
            arrays = user_arrays.named(returned, f"{function_words} returns")
            _returned[key] = user_arrays.check(arrays, function_words)
        given = _returned[key]
        if self.content not in (None, given.content, given.content_and_shape):
            raise InputError(
                f"data.content is {self.content}; data.fn {self.fn!r} now returns arrays with the checksum "
                f"{given.content}, and it must return the same ones each time it is called."
            )
        return given

    def resolved(self, batch_size: int) -> Self:
        """The settings with the checksum of the arrays."""
        user_parts.check_batch(batch_size, self.sizes, self._given)
        user_arrays.count_classes(self._given, None)
        return dataclasses.replace(self, content=self._given.content)

    def with_shape(self) -> Self:
        """The settings with the shape of images beside the checksum."""
        return dataclasses.replace(self, content=self._given.content_and_shape)

    def dataset(self, batch_size: int) -> "Dataset":
        """The set as it was returned, in the memory of the host."""
        classes = user_arrays.count_classes(self._given, None)
        return user_parts.dataset(
            self._given, self.sizes, batch_size, seed=SPLIT_SEED, classes=classes, pixel_range=self.pixel_range
        )
