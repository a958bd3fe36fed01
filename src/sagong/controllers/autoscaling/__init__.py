"""Controllers of autoscaling."""
