"""Controllers of discovery.k8s.io."""
