"""Hanin & Nica 2018 and Hanin & Rolnick 2018: how far single deep ReLU networks scatter, and which of them start."""
