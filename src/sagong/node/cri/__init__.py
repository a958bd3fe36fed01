"""The container runtime interface: messages, client, streaming."""
