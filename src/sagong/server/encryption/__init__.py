"""Encryption at rest: chosen resources lie encrypted in the store, whatever the store is.

``configuration`` reads the file, ``transformers`` encrypt single values (both pure), ``store`` puts
them around a Store. Only the composition root of a server imports this.
"""
