"""What checks the types of arguments and results in the tests: an int will do for a float, as it does for mypy.

And so will a whole number of NumPy for an int: Flax and NumPy count the axes of some shapes with them.
"""

import beartype
import numpy as np

check = beartype.beartype(
    conf=beartype.BeartypeConf(is_pep484_tower=True, hint_overrides=beartype.FrozenDict({int: int | np.integer}))
)
