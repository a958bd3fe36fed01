"""The cluster's keys and certificates: one CA, what it signs, and the files that hold them.

``authority`` is pure (keys and certificates as values), ``directory`` keeps the files, ``signing``
answers certificate requests. The server and composition roots may import it.
"""
