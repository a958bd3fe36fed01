"""Graceful shutdown of the node: the machine waits until its pods have ended, group by group.

Who ends when is pure (``groups``); ``login`` speaks to systemd-logind; ``shutdown`` carries it out.
Semantics: upstream's ``pkg/kubelet/nodeshutdown``.
"""
