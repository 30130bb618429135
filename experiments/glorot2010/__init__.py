"""Glorot & Bengio 2010, every figure, Table 1 and every claim."""
