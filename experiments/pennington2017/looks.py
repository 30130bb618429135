"""How the kinds of networks look in every figure of the study."""

from experiments import drawing

LABELS = {
    "tanh_gaussian": "tanh, Gaussian",
    "tanh_orthogonal": "tanh, orthogonal",
    "tanh_large_q": "tanh, orthogonal, large q*",
    "relu_gaussian": "relu, Gaussian",
    "relu_orthogonal": "relu, orthogonal",
}


def look(label: str) -> drawing.Look:
    """The look of a kind; one that has no place here has the last."""
    names = list(LABELS)
    return drawing.look(names.index(label) if label in names else len(names))


def words(label: str) -> str:
    """A kind's name in a legend."""
    return LABELS.get(label, label.replace("_", " "))
