"""Any JAX model seen from inside: measured layer by layer, judged, and initialised anew."""

from xinit.analysis.probe_report import Report as Report
from xinit.tracing.probing import Probe as Probe
from xinit.tracing.probing import probe as probe
from xinit.tracing.redraw import initialize as initialize
