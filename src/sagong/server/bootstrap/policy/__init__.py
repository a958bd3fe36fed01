"""The default policy as data: roles, bindings, priorities, fairness. No logic."""
