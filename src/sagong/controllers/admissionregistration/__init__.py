"""Controllers of admissionregistration.k8s.io, one file a kind."""
