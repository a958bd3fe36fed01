"""One file a driver; each passes the contract suite in ``tests/unit/store``."""
