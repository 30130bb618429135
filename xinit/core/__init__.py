"""What every other package may use: errors, the names of readings, checked values, files. It knows no network and no run."""
