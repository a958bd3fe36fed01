"""Authentication: one file a method, each turning credentials into a User."""
