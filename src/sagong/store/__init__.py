"""Where objects live: revisioned keys, compare-and-swap, ordered watch; one contract, many drivers.

Imported by server and cmd only. Knows bytes, not objects. Time and identity are not invented here.
"""
