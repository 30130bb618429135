"""Yang et al. 2022 and after: which parametrisation carries a learning rate to wider and to deeper networks."""
