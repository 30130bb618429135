"""Shapeset-3x2, generated without end: one or two shapes on a grey ground, drawn by `scenes`, to be named."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

from xinit.core.rules import Count, Range, Rule, Text
from xinit.data.contract import DataSettings, Sizes

if TYPE_CHECKING:
    from xinit.data.dataset import Dataset


@dataclass(frozen=True)
class Settings(DataSettings):
    """The size of the images in pixels a side, their range, and the numbers of examples."""

    kind: Text
    size: Annotated[int, Rule(lambda v: 10 <= v <= 256, "a whole number of pixels from 10 to 256")]
    pixel_range: Range
    valid: Count
    test: Count
    epoch: Count

    published_examples: ClassVar[int | None] = 25_000_000  # where Figure 11 of Glorot & Bengio 2010 ends

    @property
    def sizes(self) -> Sizes:
        """An epoch and the fixed sets."""
        return Sizes(self.epoch, self.valid, self.test)

    @property
    def sound_examples(self) -> int:
        """Tanh networks of 2, 5 and 20 layers of 256 with Xavier's weights took at most 21,600, at rates of .01 to .1
        and three or five seeds; rectifiers with He's weights 3,300. Two sigmoid layers of 128 took 82,000."""
        return 22_000

    @property
    def generated_bytes(self) -> int:
        """A byte for each pixel of the fixed sets."""
        return self.size**2 * (self.valid + self.test)

    def dataset(self, batch_size: int) -> "Dataset":
        """Batches of scenes that are drawn on the device."""
        from xinit.data import scenes
        from xinit.data.dataset import Examples, endless, pixels_to

        return endless(
            lambda key, n: Examples(*scenes.draw(key, n, self.size)),
            batch_size,
            n_inputs=self.size**2,
            n_outputs=scenes.N_CLASSES,
            n_valid=self.valid,
            n_test=self.test,
            decode=pixels_to(self.pixel_range),
            chance_error=scenes.CHANCE_ERROR,
            shape=(self.size, self.size, 1),
        )
