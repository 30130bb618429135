"""Any JAX model seen from inside: measured layer by layer, judged, and initialised anew.

- The model: `models` makes one pure function of a model of any library, `kinds` tells them apart, `calls` says how the
  model is called, `batches` with what, `containers` where its parameters are stored, and `refused` what cannot be
  traced.
- Its layers: `structure` finds them in the traced program.
- `xinit.probe`: `probing` runs the steps, `measure` is the compiled program, `parameters` the table of stored arrays;
  `rules` and `rules_depth` give the verdict, `zeros` looks past parameters that are zero on purpose, `remedies` tries
  schemes that help, and `reports` makes the report.
- `xinit.initialize`: `redraw` draws kernels anew, `layout` says what each stored array is, `choices` which scheme draws
  it, `patterns` how paths are matched.
- `network=custom`: `modules` builds the user's Flax module, `as_network` and `sites` make a network of it to train.
"""

from xinit.analysis.probe_report import Report as Report
from xinit.tracing.probing import Probe as Probe
from xinit.tracing.probing import probe as probe
from xinit.tracing.redraw import initialize as initialize
