"""Studio: the workspace's own web pages, where the links of runs and experiments lead.

Pages are written by the server, one module for each; a script fetches a page anew when an event says that it is no
longer true, and puts in what differs. They work without it, but for figures and for following a log.
"""

from __future__ import annotations

from azureml_local.server.studio import (
    compute,
    data,
    events,
    experiments,
    files,
    logs,
    models,
    overview,
    runs,
    sign_in,
    static_files,
)
from azureml_local.server.studio.render import install_errors

PAGES = (overview, experiments, runs, files, logs, models, data, compute, events, sign_in, static_files)

__all__ = ["PAGES", "install_errors"]
