"""Functions by library, one file each, as Kubernetes' environments declare them.

Each file has ``functions()``: name to overloads; its docstring names upstream's library. Pure;
values of a library's own type are small classes there.
"""
