"""The Common Expression Language, as Kubernetes uses it: parse, check, estimate, evaluate. Pure.

Public: ``environment`` (what an expression may refer to; text in, ``Program`` out), ``errors``.
What Kubernetes builds on it (admission, custom resources) is in ``server/``.

Why not a library. Looked at: *cel-expr-python* (Google's C++ implementation: needs protobuf
descriptors for every typed object, has no cost limits, none of Kubernetes' functions, and weighs
50 MB), *cel-python* (no type checker, one call takes milliseconds), *common-expression-language*
(no type checker, other messages). Kubernetes' answers depend on the checker, on the exact words of
cel-go and on cost limits, so this is an implementation of our own: valid text is read by a
hand-written parser and turned into closures; only text that it refuses is given to ANTLR's runtime
with the tables of CEL's grammar (``syntax``), so that syntax errors are said in upstream's words.

Semantics' source: the CEL language definition, cel-go's messages and cost model.
"""
