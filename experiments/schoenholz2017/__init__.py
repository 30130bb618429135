"""Schoenholz et al. 2017, "Deep information propagation": how deep a signal reaches, and how deep a network trains."""
