"""From readings to conclusions: intervals, verdicts, sweeps, comparisons, tables and figures."""
