"""The published schema, loaded once, and the record of genuine answers where it is at hand."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from sagong.api.schema import Schemas

# Speed is measured in bench/; a busy machine must not fail an example.
settings.register_profile("no-deadline", deadline=None)
settings.load_profile("no-deadline")

# Kept beside the repository, not in it.
RECORD = Path(__file__).resolve().parents[4] / "shared" / "golden" / "golden.json"


@pytest.fixture(scope="session")
def schemas() -> Schemas:
    return Schemas.load()


@pytest.fixture(scope="session")
def recorded() -> dict[str, Any]:
    if not RECORD.exists():
        pytest.skip("the record of genuine answers is not beside this repository")
    answers: dict[str, Any] = json.loads(RECORD.read_text())
    return answers
