"""The objects that a cluster has from its first moment, and keeping them so.

``policy`` is data only, ``objects`` turns it into API objects, ``reconcile`` stores them.
"""
