"""The figure that a notebook shows by itself."""

import io

from matplotlib import figure


class Figure(figure.Figure):
    """A matplotlib figure that Jupyter shows wherever it ends a cell, without pyplot and without a magic command.

    Jupyter draws matplotlib's own figures only once pyplot was imported. Nothing keeps a second reference to this one.
    """

    def _repr_png_(self) -> bytes:
        content = io.BytesIO()
        self.savefig(content, format="png", dpi=110)
        return content.getvalue()
