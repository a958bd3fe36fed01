"""Clock, identifiers, tasks, invariants: no word of the domain; each file could be its own library.

Everyone may import this package; it imports nothing of ours.
"""
