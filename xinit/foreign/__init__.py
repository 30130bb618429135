"""Models that are not ours: any Flax module or function, measured, judged, and drawn anew."""

from xinit.foreign.drawing import initialize as initialize
from xinit.foreign.probing import probe as probe
from xinit.foreign.report import Report as Report
