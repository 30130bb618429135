"""He et al. 2015, "Delving deep into rectifiers": the initialisation for rectifiers, executable."""
