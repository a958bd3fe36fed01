"""An hour (or less) of a cluster whose programs are killed, hung and cut off at random, by seed.

    scripts/alone .venv/bin/python -m tests.cluster.chaos --seed 1 --minutes 60

Not collected by pytest: it takes its time. ``docs/testing.md`` says what it checks.
"""
