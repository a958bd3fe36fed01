"""The API's protobuf bodies: which bytes are which fields (from upstream's published numbers).

Pure: bytes in, JSON values out. ``messages.json`` holds the field numbers of Kubernetes 1.36.
"""
