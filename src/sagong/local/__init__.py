"""Things on this machine: processes, private containerd instances, network namespaces, packages.

Used by cmd, cli, and tests. Knows nothing of the API; imports core only.
"""
