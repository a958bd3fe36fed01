"""Sagong: Kubernetes in Python.

The tree shows the architecture; imports only point down this list (``docs/architecture.md``):
cmd, testing and sim, cli, dashboard, {server, controllers, scheduler, node, network}, ctl, store,
client, api, core.
"""

__version__ = "0.1.0"
KUBERNETES_VERSION = "1.36.0"  # the version whose API and behaviour are served
