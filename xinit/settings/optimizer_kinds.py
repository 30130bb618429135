"""Which optimizers need the same learning rate in each layer, for schemes that have one for each, as muP does."""

# Updates that are linear in the gradients are like sgd's; those that normalise each entry of them are like adam's. So
# sort muP's authors in github.com/microsoft/mup. muon normalises whole matrices, and is like neither.
LIKE = {
    "sgd": ("sgd", "momentum", "nesterov"),
    "adam": ("adam", "adamw", "rmsprop", "adagrad", "lion"),
}
