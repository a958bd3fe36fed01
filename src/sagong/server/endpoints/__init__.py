"""What is served beside resources: health, version, metrics, the list of paths.

Imported by the server and its composition root only.
"""
