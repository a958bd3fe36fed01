"""Controllers of certificates.k8s.io."""
