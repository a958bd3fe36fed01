"""exec, attach, port-forward, log and proxy: byte streams between a client and a node."""
