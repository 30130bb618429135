"""The network: activation functions, width profiles, and the multilayer perceptron."""
