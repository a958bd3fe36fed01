"""The API over HTTPS: requests become Calls, Answers become responses; one middleware a file.

Imported by the server and its composition root only.
"""
