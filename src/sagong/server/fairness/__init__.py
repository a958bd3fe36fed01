"""API priority and fairness: who gets on with a request when not everybody can.

``classification`` says to which flow of which level a request belongs, ``levels`` how many of a
level run and who is next, ``turns`` who computes next in the one thread that there is. All three
are synchronous and know nothing of HTTP; ``http/fairness.py`` ties them to requests.
"""
