"""What API objects are: schema, selectors, quantities, patches, apply, tables, errors.

PURE: no I/O, no clock, no event loop. Everyone may import this package; it imports core only.
"""
