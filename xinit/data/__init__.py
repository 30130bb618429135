"""Data sets: each is a module with its `Settings`, which make its `Dataset`; `contract` says what they must offer."""
