"""The sagong command: verbs/<verb>.py, one file a verb."""
