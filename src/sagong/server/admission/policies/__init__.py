"""Admission policies in CEL: what an expression sees of a write, match conditions, the plugins.

``match_conditions`` is for webhooks as well. ``inputs`` makes the variables, ``matching`` says
which policies concern a write, ``validating`` and ``mutating`` are the plugins.
"""
