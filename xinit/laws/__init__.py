"""Does an initialiser keep its law? `verify_initializer` draws from it, tests what came, and says so in plain words.

`verification`: the public function and its report. `checks`: the tests, one function each. `formulas`: which known
variance it is. A sound initialiser fails a check with a probability below one in a million.
"""

from xinit.laws.checks import Check
from xinit.laws.verification import Verification, verify_initializer

__all__ = ["Check", "Verification", "verify_initializer"]
