"""The two applications of a server: the API (https), and sign-in with Studio's pages (plain http on loopback)."""

from __future__ import annotations

from fastapi import FastAPI
from starlette.types import ASGIApp

from azureml_local import __version__
from azureml_local.server import errors, studio
from azureml_local.server.access import identity, principals
from azureml_local.server.access.gate import Gate
from azureml_local.server.arm import codes, data, jobs, resources
from azureml_local.server.arm import computes as compute
from azureml_local.server.arm import datastores as arm_datastores
from azureml_local.server.arm import environments as arm_environments
from azureml_local.server.arm import models as arm_models
from azureml_local.server.arm import workspaces as arm
from azureml_local.server.blob import blobs, opendata
from azureml_local.server.context import Context
from azureml_local.server.dataplane import (
    artifacts,
    azuremlmodules,
    content,
    credential,
    datasets,
    datastores,
    discovery,
    environments,
    execution,
    experiments,
    history,
    hyperdrive,
    imagebuilds,
    metrics,
    models,
    pipelinedrafts,
    pipelines,
    pipelineschedules,
    publishedpipelines,
    rundata,
    services,
)
from azureml_local.server.http.bodies import FORM_ONLY, JSON_ONLY, LOCAL_RUN, NODE_BYTES, SIGN_IN, SWEEP, Bodies
from azureml_local.server.http.faults import FaultMiddleware
from azureml_local.server.local import nodes as node
from azureml_local.server.local import status as local
from azureml_local.server.mlflow import experiments as mlflow_experiments
from azureml_local.server.mlflow import registry as mlflow_registry
from azureml_local.server.mlflow import runs as mlflow_runs
from azureml_local.server.scoring.frontend import FrontEnd

API = (
    arm_datastores,
    compute,  # before arm, which refuses whatever else is posted to a workspace
    data,
    codes,
    jobs,
    arm_environments,
    arm_models,
    arm,
    resources,
    identity,
    principals,
    discovery,
    experiments,
    history,
    rundata,
    metrics,
    artifacts,
    content,
    execution,
    hyperdrive,
    azuremlmodules,
    pipelinedrafts,
    pipelineschedules,
    publishedpipelines,  # before: its names are no ids of runs
    pipelines,
    environments,
    imagebuilds,
    datasets,
    datastores,
    services,  # before models, which refuses what else model management does in Azure
    models,
    mlflow_experiments,
    mlflow_runs,
    mlflow_registry,
    credential,
    node,
    opendata,
    local,
)
PLAIN = (identity, *studio.PAGES)


def api_app(ctx: Context) -> ASGIApp:
    # The blob service knows signatures and keys of its own, and lets nobody past to the routes whom the gate would not.
    return FaultMiddleware(blobs.BlobService(api_routes(ctx), ctx), ctx.cluster.faults)


def api_routes(ctx: Context) -> FastAPI:
    """All of the API but the blob service."""
    app = _app(ctx, "Azure Machine Learning, local", API)
    # The last one added comes first: nobody's body is read who isn't let in.
    app.add_middleware(Bodies, kinds=(LOCAL_RUN, SWEEP, NODE_BYTES, SIGN_IN, JSON_ONLY))
    app.add_middleware(Gate, ctx=ctx)
    return app


def plain_app(ctx: Context) -> ASGIApp:
    return FrontEnd(plain_routes(ctx), ctx)


def plain_routes(ctx: Context) -> FastAPI:
    """All of the plain address but the front end of deployed models."""
    app = _app(ctx, "Sign-in and Studio", PLAIN)
    studio.install_errors(app)
    app.add_middleware(Bodies, kinds=(FORM_ONLY,))
    return app


def _app(ctx: Context, title: str, modules: tuple[object, ...]) -> FastAPI:
    app = FastAPI(
        title=title,
        version=__version__,
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        redirect_slashes=False,
    )
    app.state.context = ctx
    for module in modules:
        app.include_router(module.router)  # type: ignore[attr-defined]
    errors.install(app)
    return app
