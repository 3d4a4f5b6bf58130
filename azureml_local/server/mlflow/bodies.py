"""The bodies of MLflow's calls."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class Body(BaseModel):
    """Clients send fields of their own version too; numbers of 64 bits may be texts, as protobuf writes them."""

    model_config = ConfigDict(extra="ignore", coerce_numbers_to_str=True, protected_namespaces=())


class Pair(Body):
    key: str = Field(min_length=1, max_length=255)
    value: str = ""


class Measured(Body):
    """One value of a metric; NaN and the infinities are texts in JSON."""

    key: str = Field(min_length=1, max_length=255)
    value: float
    timestamp: int = Field(default=0, ge=0, lt=253_402_300_800_000)
    step: int = 0


class OfRun(Body):
    """What is about a run. Clients before mlflow 1.0 name it ``run_uuid``, and later ones both."""

    run_id: str | None = None
    run_uuid: str | None = None


class NewExperiment(Body):
    name: str
    tags: list[Pair] = []


class ExperimentWanted(Body):
    experiment_id: str


class ExperimentRenamed(ExperimentWanted):
    new_name: str


class ExperimentTag(ExperimentWanted, Pair):
    pass


class ExperimentSearch(Body):
    max_results: int = Field(default=1000, ge=1, le=50_000)
    page_token: str | None = None
    filter: str | None = None
    order_by: list[str] = []
    view_type: str = "ACTIVE_ONLY"


class NewRunBody(Body):
    experiment_id: str = "0"
    run_name: str | None = None
    start_time: int | None = None
    tags: list[Pair] = []


class RunUpdate(OfRun):
    status: str | None = None
    end_time: int | None = None
    run_name: str | None = None


class RunSearch(Body):
    experiment_ids: list[str] = []
    filter: str | None = None
    run_view_type: str = "ACTIVE_ONLY"
    max_results: int = Field(default=1000, ge=1, le=50_000)
    order_by: list[str] = []
    page_token: str | None = None


class RunMetric(OfRun, Measured):
    pass


class RunPair(OfRun, Pair):
    pass


class RunTagGone(OfRun):
    key: str


class Batch(OfRun):
    metrics: list[Measured] = Field(default=[], max_length=1000)
    params: list[Pair] = Field(default=[], max_length=100)
    tags: list[Pair] = Field(default=[], max_length=100)


class NewModel(Body):
    name: str
    description: str | None = None
    tags: list[Pair] = []


class NewModelVersion(NewModel):
    source: str
    run_id: str | None = None


class LatestWanted(Body):
    name: str
    stages: list[str] = []
