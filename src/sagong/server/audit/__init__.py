"""Who did what, by policy: audit events and the log they go to.

``policy`` decides and ``events`` puts into words (both pure), ``log`` writes. The HTTP layer's
``http/audit.py`` ties them to requests; nobody else imports this.
"""
