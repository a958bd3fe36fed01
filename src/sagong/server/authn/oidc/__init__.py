"""Users of OpenID Connect issuers: JSON web tokens, mapped to users by a configuration file.

Imported by ``server/security.py`` only. ``configuration`` reads the file, ``claims`` maps (pure),
``issuer`` fetches keys, ``authenticator`` is the method of authentication.
"""
