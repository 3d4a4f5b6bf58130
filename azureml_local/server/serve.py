"""Running a server: its two listeners, its lock, what it says of itself, and an end that leaves nothing
behind.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import functools
import json
import os
import signal
import socket
import threading
from collections.abc import Callable, Coroutine
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import uvicorn
from filelock import FileLock, Timeout
from starlette.types import ASGIApp

from azureml_local import __version__
from azureml_local.cluster.cluster import Cluster
from azureml_local.cluster.orchestration.clock import Clock
from azureml_local.cluster.orchestration.pipelines import Pipelines
from azureml_local.cluster.orchestration.sweeps import Sweeps
from azureml_local.cluster.remote.registry import Placement, WorkerRegistry
from azureml_local.cluster.runcontext import ClusterServices
from azureml_local.endpoints import LOCALHOST, Endpoints, Instance
from azureml_local.names import DEFAULT_NAME, WorkspaceName
from azureml_local.opendata.mirror import MnistSource, find_mnist
from azureml_local.processes import identity_of
from azureml_local.runtime.dataflows import Mirror
from azureml_local.runtime.descriptors import Descriptors, raise_limit
from azureml_local.runtime.environments import EnvironmentBuilder
from azureml_local.runtime.inputs import Inputs
from azureml_local.runtime.shared import SharedFolders
from azureml_local.runtime.variables import job_variables
from azureml_local.server.access.auth import BlobUrls, Tokens
from azureml_local.server.access.certificates import Certificates
from azureml_local.server.access.guard import Guard
from azureml_local.server.app import api_app, plain_app
from azureml_local.server.context import Context
from azureml_local.server.dataplane import pipelineschedules
from azureml_local.server.dataplane.backfill import fill_specs
from azureml_local.server.http.addresses import SettingsError, address_of
from azureml_local.server.http.listener import Server
from azureml_local.server.http.memory import one_heap
from azureml_local.server.http.protocol import Http
from azureml_local.serving.deployments import Deployments
from azureml_local.serving.environments import ScoringEnvironments
from azureml_local.storage.folder import StateFolder, StateFolderError, write_private
from azureml_local.storage.inspection import lost_parts
from azureml_local.storage.ownership import private_folder
from azureml_local.storage.tables import Run
from azureml_local.trust import Trust
from azureml_local.workspace import Workspace
from azureml_local.workspace.datasets import THIS_SERVER
from azureml_local.workspace.experiments import shown_name
from azureml_local.workspace.housekeeping import clean

LOOPBACK = "127.0.0.1"
DEFAULT_PORT = 8843
# How often a server looks whether its state folder is still there.
WATCH_SECONDS = 2.0


@dataclass(frozen=True)
class Settings:
    """How to run a server.

    ``port`` is for the API, the next one for sign-in and pages; without it, those of last time, or the usual ones, of
    which a taken one is replaced by a free one. ``host`` is where the API is; sign-in and pages, without TLS, stay on
    loopback. ``scheduler`` is the address of a Dask scheduler whose workers run the jobs.
    """

    state: Path
    cache: Path
    names: tuple[WorkspaceName, ...] = ()
    port: int | None = None
    host_environment: bool = False
    host: str = LOCALHOST
    exposed: bool = False
    scheduler: str | None = None


def serve(settings: Settings, ready: Callable[[Instance], None] | None = None) -> None:
    """Serve until SIGINT or SIGTERM.

    Raises:
        StateFolderError: the folder can't be used, or another server is using it.
        SettingsError: it can't listen there, or there is no such scheduler.
    """
    one_heap()
    descriptors = raise_limit()
    folder = StateFolder(settings.state)
    folder.create()
    lock = FileLock(folder.lock)
    try:
        lock.acquire(timeout=1)  # `LocalServer.find` holds it for a moment
    except Timeout:
        raise StateFolderError(
            f"Another server is running on {folder.root}. `azureml-local status` says where, `azureml-local "
            "down` stops it."
        ) from None
    try:
        _serve(folder, settings, descriptors, ready)
    finally:
        folder.instance.unlink(missing_ok=True)
        lock.release()


def _serve(
    folder: StateFolder, settings: Settings, descriptors: Descriptors, ready: Callable[[Instance], None] | None
) -> None:
    lost = lost_parts(folder)
    if lost is not None:
        raise StateFolderError(lost)
    address = address_of(settings.host, exposed=settings.exposed)
    placement = _scheduler(settings.scheduler) if settings.scheduler else None
    certificates = Certificates(folder.tls, os.environ.get("SSL_CERT_FILE"), settings.host)
    trust = certificates.ensure()
    workspace = Workspace(folder)
    clean(workspace)
    fill_specs(workspace)
    for name in settings.names or ((DEFAULT_NAME,) if not workspace.identity.names else ()):
        workspace.identity.answer_to(name)
    api_socket, plain_socket, taken = _listen(workspace, settings.port, address)
    ports = api_socket.getsockname()[1], plain_socket.getsockname()[1]
    endpoints = Endpoints.at(*ports, settings.host)
    context = _context(workspace, folder, endpoints, trust, settings, placement)
    clock = Clock(workspace)
    clock.starts[pipelineschedules.KIND] = functools.partial(pipelineschedules.fire, context)
    # Clients cache what the cloud said of itself for ever, and the ports may have changed since.
    (folder.client_folders[0] / "cloudEndpoints.json").unlink(missing_ok=True)
    context.cluster.start()
    context.sweeps.start()
    context.pipelines.start()
    context.deployments.start()
    clock.start()
    instance = Instance(
        *(os.getpid(), *ports, str(trust.bundle), str(trust.folder), settings.host),
        identity=identity_of(os.getpid()) or "",
        taken=taken,
    )
    api = _server(Guard(api_app(context), ports[0], host=settings.host), descriptors.for_api, certificates)
    plain = _server(Guard(plain_app(context), ports[1], pages=("/studio/",)), descriptors.for_pages)

    def started() -> None:
        write_private(folder.instance, json.dumps(asdict(instance)))
        if ready is not None:
            ready(instance)

    def ending() -> None:
        # For those who look meanwhile. The folder itself may be gone.
        with contextlib.suppress(OSError):
            write_private(folder.instance, json.dumps(asdict(replace(instance, ending=True))))
        clock.stop()
        context.deployments.stop()
        context.pipelines.stop()
        context.sweeps.stop()
        context.cluster.stop()

    gone = threading.Event()

    def watch() -> None:
        while not done.wait(WATCH_SECONDS):
            if not folder.database.exists():
                gone.set()
                os.kill(os.getpid(), signal.SIGTERM)
                return

    done = threading.Event()
    threading.Thread(target=watch, name="state folder", daemon=True).start()
    try:
        listeners = [(api, api_socket), (plain, plain_socket)]
        work = _run(listeners, started, ending, context.streams.close)
        _run_until_done(api.config, work)
    finally:
        done.set()
        ending()
        workspace.close()
    if gone.is_set():
        raise StateFolderError(
            f"The state folder {folder.root} was removed or moved while the server ran. The server has ended its runs, "
            "and nothing more was kept."
        )


def _run_until_done(config: uvicorn.Config, work: Coroutine[Any, Any, None]) -> None:
    """asyncio.run, on uvloop where it is installed: asyncio's own TLS is a fifth of what a small request costs."""
    factory = config.get_loop_factory()
    loop = factory() if factory is not None else asyncio.new_event_loop()
    try:
        loop.run_until_complete(work)
    finally:
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.run_until_complete(loop.shutdown_default_executor())
        loop.close()


async def _run(
    servers: list[tuple[Server, socket.socket]],
    started: Callable[[], None],
    ending: Callable[[], None],
    hang_up: Callable[[], None],
) -> None:
    """Serve until a signal. ``ending`` is done first, while the server still answers those whose end it awaits; then
    ``hang_up`` ends answers that would go on.
    """
    loop = asyncio.get_running_loop()
    endings: list[asyncio.Future[None]] = []

    def stop_serving(_: object) -> None:
        hang_up()
        for server, _ in servers:
            server.stop()

    def stop() -> None:
        if not endings:
            endings.append(loop.run_in_executor(None, ending))
            endings[0].add_done_callback(stop_serving)

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop)
    tasks = [asyncio.create_task(server.serve(sockets=[bound])) for server, bound in servers]
    while not all(server.started for server, _ in servers) and not any(task.done() for task in tasks):
        await asyncio.sleep(0.005)
    started()
    await asyncio.gather(*tasks)
    await asyncio.gather(*endings)


def _server(app: ASGIApp, connections: int, certificates: Certificates | None = None) -> Server:
    config = uvicorn.Config(
        app,
        access_log=False,
        log_level="warning",
        lifespan="off",
        server_header=False,
        date_header=False,  # the guard's: uvicorn's own is kept up by the loop that we don't have
        proxy_headers=False,
        # The SDK keeps connections and uses one again much later; closing them early would show as lost
        # ones.
        timeout_keep_alive=120,
        http=Http,
        ws="none",
        timeout_graceful_shutdown=2,
    )
    config.load()
    if certificates is not None:
        config.ssl = certificates.context()
    return Server(config, connections)


def _scheduler(address: str) -> Placement:
    """Raises SettingsError."""
    try:
        from azureml_local.cluster.remote.scheduler import DaskScheduler
    except ImportError as error:
        raise SettingsError(
            f"--scheduler needs dask.distributed: pip install 'azureml-local[dask]' ({error})."
        ) from error
    try:
        return DaskScheduler(address)
    except OSError as error:
        raise SettingsError(str(error)) from error


def _listen(workspace: Workspace, wanted: int | None, address: str) -> tuple[socket.socket, socket.socket, list[int]]:
    """Two sockets: on the port asked for and the next one, or on those of last time, or the usual ones; and which of
    these two last were taken and replaced by free ones.

    Raises SettingsError for a port that was asked for and is taken.
    """
    remembered: list[int] = workspace.database.setting("ports") or [DEFAULT_PORT, DEFAULT_PORT + 1]
    first = remembered if wanted is None else [wanted, wanted + 1 if wanted else 0]
    sockets: list[socket.socket] = []
    taken: list[int] = []
    for host, port in zip((address, LOOPBACK), first, strict=True):
        bound = _bind(host, port)
        if bound is None and wanted is not None:
            also = "" if port == wanted else f", which sign-in and pages take beside --port {wanted},"
            for other in sockets:
                other.close()
            raise SettingsError(
                f"Port {port}{also} is used by another program. Choose another with --port, or leave it out."
            )
        if bound is None:
            taken.append(port)
            bound = _bind(host, 0)
        assert bound is not None, "port 0 is a free one"
        sockets.append(bound)
    # Also one that was any: clients and jobs of a server that died know it, and the next one takes its place.
    workspace.database.set_setting("ports", [bound.getsockname()[1] for bound in sockets])
    return sockets[0], sockets[1], taken


def _bind(address: str, port: int) -> socket.socket | None:
    """None where another program has this port. Raises SettingsError."""
    bound = socket.socket()
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((address, port))
        bound.listen(512)  # now: two sockets may be bound to one port where none of them listens yet
    except OSError as error:
        bound.close()
        if error.errno == errno.EADDRINUSE:
            return None
        if error.errno == errno.EADDRNOTAVAIL:
            raise SettingsError(f"{address} is no address of this machine.") from error
        raise SettingsError(f"The server can't listen at {address}:{port} ({error.strerror}).") from error
    return bound


def _context(
    workspace: Workspace,
    folder: StateFolder,
    endpoints: Endpoints,
    trust: Trust,
    settings: Settings,
    placement: Placement | None = None,
) -> Context:
    secrets = folder.secrets()
    tokens = Tokens(secrets, workspace.identity)

    # Looked for once, on first use: it may have to be downloaded or drawn.
    @functools.cache
    def mnist() -> MnistSource:
        return find_mnist(private_folder(settings.cache / "mnist"), os.environ)

    def variables(run: Run) -> dict[str, str]:
        token = tokens.for_run(run.id)
        return job_variables(
            endpoints,
            trust=trust,
            workspace=workspace.identity.of_run(run),
            workspace_id=workspace.identity.workspace_id,
            experiment=(shown_name(workspace.experiments.get_by_id(run.experiment_id)), run.experiment_id),
            run_id=run.id,
            token=token.text,
            token_expiry=token.expires_utc,
            sign_in_key=secrets.sign_in_key(run.id),
        )

    mirror = Mirror(f"{THIS_SERVER}/opendata/mnist", lambda: mnist().folder)
    order = {
        "version": __version__,
        "server": endpoints.api,
        "certificate": (folder.tls / "ca.pem").read_text(),
    }
    environments = settings.cache / "environments"
    builder = EnvironmentBuilder(environments, host=settings.host_environment)
    services = ClusterServices(
        workspace=workspace,
        builder=builder,
        inputs=Inputs(SharedFolders(folder.datasets), mirror, workspace.mirrors),
        job_variables=variables,
        registry=WorkerRegistry(placement, order),
    )
    cluster = Cluster(services)
    sweeps = Sweeps(workspace, cluster)
    return Context(
        workspace=workspace,
        cluster=cluster,
        sweeps=sweeps,
        pipelines=Pipelines(workspace, cluster, sweeps),
        deployments=Deployments(workspace, ScoringEnvironments(builder, environments), folder.services),
        endpoints=endpoints,
        tokens=tokens,
        urls=BlobUrls(endpoints.api, secrets),
        secrets=secrets,
        mnist=mnist,
    )
