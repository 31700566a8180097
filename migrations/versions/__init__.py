"""The steps, in the order their names give."""
