"""What the server says of its groups, versions and resources.

Imported by the server and its composition root only.
"""
