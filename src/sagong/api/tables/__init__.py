"""Server-side printing: the columns and cells of ``meta.k8s.io/v1 Table`` (what kubectl get shows).

One file a group of kinds; ``table.py`` finds the right one. Columns and cells follow upstream's
``pkg/printers/internalversion``.
"""
