"""Published clients, unmodified, against a whole control plane with simulated nodes."""
