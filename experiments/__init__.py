"""Studies made with xinit: one folder each, with its claims, its tiers in conf/experiment, and the results kept."""
