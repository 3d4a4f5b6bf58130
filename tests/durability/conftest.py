"""What the tests of durability share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.durability.servers import KillableServer


@pytest.fixture
def killable(tmp_path: Path) -> Iterator[KillableServer]:
    """A server that can be killed and started again; not started yet."""
    server = KillableServer(tmp_path)
    yield server
    server.close()
