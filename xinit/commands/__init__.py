"""What the entries `python -m xinit.*` share: command line, progress and tables, sweeps, launchers and sweepers."""
