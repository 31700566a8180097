"""Solvers: how a fit is carried out.

A model says what is to be fitted (``task.FitTask``) and holds what is fitted (net, optimizer, random source). A solver
is a function that takes these and yields the loss of one epoch after another; whoever draws from it decides when to
stop. ``autograd`` is the solver that accepts any net and any optimizer.
"""
