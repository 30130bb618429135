"""What the commands share: command line, console, launchers and sweepers."""
