"""What checks the types of arguments and results in the tests: an int will do for a float, as it does for mypy."""

import beartype

check = beartype.beartype(conf=beartype.BeartypeConf(is_pep484_tower=True))
