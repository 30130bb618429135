"""What a network is, a file for each kind (mlp, residual, convnet), activations, losses and width profiles."""
