"""Figures of runs, sweeps, comparisons and inspections."""
