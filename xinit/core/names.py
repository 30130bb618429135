"""What people call things that have another name here: glorot is xavier, lr is optimizer.learning_rate.

What means exactly the same is taken for it; what nearly does is named in the answer to an unknown word.
"""

import re
from collections.abc import Collection

# By group, names in other libraries of what a choice is by default: taken for it.
CHOICES = {
    "scheme": {
        **dict.fromkeys(("glorot", "glorot_uniform", "xavier_uniform"), "xavier"),
        **dict.fromkeys(("kaiming", "kaiming_normal", "he_normal"), "he"),
        **dict.fromkeys(("lecun_normal",), "lecun"),
    },
    "activation": dict.fromkeys(("swish",), "silu"),
}
# Settings by the short names that they have elsewhere: taken for them.
SETTINGS = dict.fromkeys(("lr", "learning_rate"), "optimizer.learning_rate")

# What is meant by an unknown word, the likeliest first: of these, the answer names the one that exists there.
MEANT = {
    **{word: (name,) for names in CHOICES.values() for word, name in names.items()},
    **dict.fromkeys(("glorot_normal", "xavier_normal"), ("xavier scheme.distribution=normal",)),
    **dict.fromkeys(("kaiming_uniform", "he_uniform"), ("he scheme.distribution=uniform",)),
    "lecun_uniform": ("lecun scheme.distribution=uniform",),
    **dict.fromkeys(("pytorch", "torch", "default"), ("standard",)),
    **dict.fromkeys(("hardswish",), ("hard_swish",)),
    **dict.fromkeys(("leakyrelu", "lrelu"), ("leaky_relu",)),
    **dict.fromkeys(("seeds", "n_seeds", "num_seeds"), ("score_seeds", "seeds", "seed")),
    **dict.fromkeys(("lr", "lrs", "rates", "learning_rate"), ("learning_rates", "optimizer.learning_rate")),
    **dict.fromkeys(("batch", "bs", "batchsize"), ("batch_size",)),
    **dict.fromkeys(("layers", "n_layers", "num_layers", "hidden_layers"), ("depth",)),
    **dict.fromkeys(("hidden", "units", "n_hidden", "hidden_size", "features"), ("width",)),
    **dict.fromkeys(("epochs", "num_epochs", "iterations", "n_steps", "num_steps"), ("steps",)),
    **dict.fromkeys(("init", "initializer", "initialiser", "initialization", "initialisation"), ("scheme", "schemes")),
    **dict.fromkeys(("act", "nonlinearity", "act_fn"), ("activation",)),
    **dict.fromkeys(("dataset",), ("data",)),
    **dict.fromkeys(("opt",), ("optimizer",)),
    **dict.fromkeys(("momentum",), ("optimizer.momentum",)),
    **dict.fromkeys(("wd", "weight_decay"), ("optimizer.weight_decay",)),
    **dict.fromkeys(("gain",), ("scheme.gain",)),
    **dict.fromkeys(("norm",), ("network.norm",)),
    **dict.fromkeys(("output", "output_dir", "outdir", "folder"), ("out",)),
}


def meant(word: str, allowed: Collection[str]) -> str | None:
    """What an unknown word means of what is allowed, by the name of it or of the group it begins with.

    >>> meant("glorot", ["he", "xavier"]), meant("batch", ["batch_size", "depth"]), meant("nothing", ["depth"])
    ('xavier', 'batch_size', None)
    """
    return next((name for name in MEANT.get(word, ()) if re.split(r"[ .]", name)[0] in allowed), None)


def usual_value(group: str, value: str) -> str:
    """The value of a group, a name or names with commas between them, in the names that choices have here.

    >>> usual_value("scheme", "standard,glorot"), usual_value("activation", "[tanh,swish]")
    ('standard,xavier', '[tanh,silu]')
    """
    names = CHOICES.get(group, {})
    if not re.fullmatch(r"\[?[\w, ]+\]?", value):
        return value
    return re.sub(r"\w+", lambda word: names.get(word[0], word[0]), value)
