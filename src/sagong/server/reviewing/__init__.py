"""Asking other programs about users and permissions: reviews posted to where a kubeconfig points.

``TokenReview`` for authentication (``authn/webhook.py``), ``SubjectAccessReview`` for
authorisation (``authz/webhook.py``). Only those two import this.
"""
