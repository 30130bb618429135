"""Any JAX model seen from inside: measured layer by layer, judged, and initialised anew."""

from xinit.tracing.probing import Probe as Probe
from xinit.tracing.probing import probe as probe
from xinit.tracing.redraw import initialize as initialize
from xinit.tracing.report import Report as Report
