"""Admission webhooks: programs of the user's that change or refuse writes.

``hooks`` reads the configurations and finds the webhooks that a write could concern, ``matching``
decides whether one does, ``reviews`` writes questions and reads answers; these are pure.
``calling`` puts one question; ``mutating`` and ``validating`` are the plugins. Imported by the
admission chain.
"""
