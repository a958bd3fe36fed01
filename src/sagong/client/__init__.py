"""The one way to reach the API: in-process and over HTTPS, the same to its user.

Everything above imports it; it imports api and core only. Failures are ``api.errors``.
"""
