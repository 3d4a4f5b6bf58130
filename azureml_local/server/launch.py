"""What a running server says of itself in its state folder (``server.json``), for those who want to use it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from azureml_local.environment import Endpoints, Trust


@dataclass(frozen=True)
class Instance:
    pid: int
    api_port: int
    plain_port: int
    bundle: str
    certificates: str

    @property
    def endpoints(self) -> Endpoints:
        return Endpoints.at(self.api_port, self.plain_port)

    @property
    def trust(self) -> Trust:
        return Trust(bundle=Path(self.bundle), folder=Path(self.certificates))
