"""Rehearsal: a whole cluster in virtual time, simulated nodes, faults from a seed, checkers.

Production code composed as in production, with clock, ids, network and nodes of its own. Whoever
composes it (``cmd``) hands in how controllers and scheduler are put together.
"""
