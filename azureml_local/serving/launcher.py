"""Launcher of a scoring process: gunicorn, in the service's own environment.

    python launcher.py [FOLDER] -- GUNICORN'S ARGUMENTS

Started by path with the interpreter of the service's environment, in which this package isn't installed. FOLDER is
where the inference server is if the environment hasn't got it. It comes before the environment's own packages: among
those can be some that the server needs in another version (opentelemetry, which azureml-core brings, was seen).
"""

import runpy
import sys
from importlib.metadata import version

if __name__ == "__main__":
    end = sys.argv.index("--")
    del sys.path[0]  # this file's folder
    first = next((i for i, entry in enumerate(sys.path) if entry.endswith("site-packages")), len(sys.path))
    sys.path[first:first] = sys.argv[1:end]
    # A socket by which anybody with the user's rights can command it, in a folder too deep for one perhaps.
    without = ["--no-control-socket"] if tuple(map(int, version("gunicorn").split(".")[:2])) >= (25, 1) else []
    sys.argv = ["gunicorn", *without, *sys.argv[end + 1 :]]
    runpy.run_module("gunicorn", run_name="__main__", alter_sys=True)
