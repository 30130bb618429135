"""The one exception that means "you can fix this": entries turn it into a sentence and exit code 2."""


class InputError(ValueError):
    """A user's mistake, said in one sentence: what was wrong, what came, what is allowed."""
