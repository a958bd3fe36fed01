"""The OpenAPI v2 and v3 documents, generated from the definitions and the resource table.

Imported by the server and its composition root only.
"""
