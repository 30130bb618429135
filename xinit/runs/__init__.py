"""Runs from their configs to their results: grouping, training in chunks, run directories, checkpoints and trackers."""
