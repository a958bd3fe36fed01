"""Devices by ResourceClaims (dynamic resource allocation, structured parameters): what there is
(``inventory``), which of it suits (``allocation``, pure), and saying so in claims (``binding``).

Only the scheduler imports it.
"""
