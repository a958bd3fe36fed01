"""Reading the YAML files of settings that a command line names."""

from pathlib import Path
from typing import Any


def read_yaml(path: Path) -> Any:
    """The one document of a file. Raises OSError, yaml.YAMLError."""
    import yaml  # slow to import, and only needed with a file

    return yaml.safe_load(path.read_text())
