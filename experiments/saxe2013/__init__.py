"""Saxe, McClelland & Ganguli 2013: how deep linear networks learn, and how orthogonal weights help them."""
