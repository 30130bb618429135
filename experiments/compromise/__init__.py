"""Why 2 / (n_in + n_out), what kind of mean is it, and does it matter? The study behind the question."""
