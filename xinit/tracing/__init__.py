"""Models that are not ours: any Flax module or function, measured, judged, and drawn anew."""

from xinit.tracing.drawing import initialize as initialize
from xinit.tracing.probing import probe as probe
from xinit.tracing.report import Report as Report
