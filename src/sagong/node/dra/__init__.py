"""Devices that pods have by ResourceClaims (Dynamic Resource Allocation): the node's part.

Drivers register as plugins (``drivers``), are asked to prepare what has been allocated
(``claims``; ``books`` remember it on disk), and containers get the devices by CDI names (``cdi``
carries out CDI itself where the runtime cannot). Semantics: upstream's ``pkg/kubelet/cm/dra``.
"""
