"""Carry out calls on stored resources: upstream's generic registry, one file a verb.

Imported by the server and its composition root only.
"""
