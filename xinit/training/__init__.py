"""The problem that a config poses, and its training: one network, or many in one program."""
