"""The network: its activations, the widths of its layers, and the multilayer perceptron."""
