"""What all packages use: errors, names of readings, checked values, files. It knows no network and no run."""
