"""Custom resources: from a CustomResourceDefinition to a served resource, while the server runs.

Pure files say what a definition means (names, versions, values, columns, scale, OpenAPI);
``serving.py`` follows the definitions in the watch cache. Imported by the server only.
"""
