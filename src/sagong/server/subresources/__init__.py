"""One file a subresource that is not plain storage; each exports a handler (server/handlers.py).

Imported by the server and its composition root only.
"""
