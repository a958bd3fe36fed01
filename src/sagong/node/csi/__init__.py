"""The client of CSI drivers (``csi.v1``): drivers that registered, and what volumes ask of them.

Mounting into pods is ``volumes/csi_volume.py``.
"""
