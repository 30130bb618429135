"""From a config to trained weights: the problem, the training loop, and populations of networks in one program."""
