"""The agent's HTTPS server, as the kubelet's: logs, exec, attach, port-forward, stats, metrics.

Imported by the agent's composition root only.
"""
