"""Server-side apply, pure: field sets, ownership, conflicts (structured-merge-diff's semantics).

What does not belong here: HTTP, defaulting, validation. May be imported by anyone.
"""
