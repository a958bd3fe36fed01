"""Conformance behaviours on real containers, in one cluster that all tests here share.

Run by `scripts/alone .venv/bin/python -m pytest -n 4 tests/cluster/conformance`. A test takes the
``space`` fixture: a namespace of its own that goes with it. It may use the whole cluster but must
not disturb others' tests: no killing of nodes, no cordoning, no cluster-wide policy for all.
"""
