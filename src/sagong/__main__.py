"""``python -m sagong`` is the ``sagong`` command."""

from sagong.cli.main import main

main()
