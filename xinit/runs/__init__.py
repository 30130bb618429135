"""Runs from start to end: their folders, checkpoints, trackers, and what is said while they go on."""
