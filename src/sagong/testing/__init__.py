"""The pytest plugin for users' own tests."""
