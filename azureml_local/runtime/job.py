"""Launcher of a job's script: runs it inside the SDK's own history context.

Azure's service wraps scripts in the same way: the context flushes metrics (the SDK has no exit hook, so they would be
lost with the process), uploads ``outputs`` and ``logs``, and reports an exception as the run's error. Started by path
with the job environment's interpreter, in which this package isn't installed: it uses the standard library only, and
azureml where it is installed, and runs on Python 3.6 or later (installer.OLDEST).

A file beside the job's status file exists while this launcher's own code runs (process.around_script): it tells the
server whether a failure is the script's or the launcher's.
"""

import contextlib
import gc
import os
import runpy
import sys
from pathlib import Path
from typing import ContextManager, Iterator, List


@contextlib.contextmanager
def nothing() -> Iterator[None]:
    """Context manager that does nothing: contextlib.nullcontext, which Python 3.6 lacks."""
    yield


def history_context() -> ContextManager[object]:
    """azureml's history context, or a context that does nothing where the environment has no azureml-core."""
    try:
        from azureml.history._tracking import get_history_context_manager
    except ImportError:
        print(
            "azureml-core isn't in this environment: metrics can't be logged; outputs are kept all the same.",
            flush=True,
        )
        return nothing()
    if os.environ.get("AZUREML_LOCAL_RANK", "0") == "0":
        context: ContextManager[object] = get_history_context_manager(DirectoriesToWatch=["logs"])
        return context
    # The ranks of a distributed job have one folder, which the first one watches and uploads: two that upload one file
    # at the same time fail. What others write later, the server collects.
    os.environ["AZUREML_OUTPUT_DIRECTORY"] = "./outputs"
    context = get_history_context_manager(DirectoriesToWatch=[], only_in_process_features=True)
    return context


def note_script(runs: bool) -> None:
    """Record for the server whether the script or this launcher's own code is running."""
    rank = os.environ.get("AZUREML_LOCAL_RANK")
    name = "around_script" if rank is None else "around_script_" + rank
    path = os.path.join(os.path.dirname(os.environ["AZUREML_LOCAL_JOB"]), name)
    with contextlib.suppress(OSError):  # a full disk: a failure is then reported as the script's
        if runs:
            os.unlink(path)
        else:
            os.close(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600))


def main(script: str, arguments: List[str]) -> None:
    sys.argv = [script, *arguments]
    sys.path[0] = str(Path(script).resolve().parent)
    folder = Path.cwd()
    # The SDK's 2,500 modules stay loaded. The garbage collector would scan them again and again: a third of a short
    # job's time.
    gc.disable()
    with history_context():
        if sys.version_info >= (3, 7):
            gc.freeze()
        gc.enable()
        note_script(runs=True)
        try:
            runpy.run_path(script, run_name="__main__")
        finally:
            be_somewhere(folder)
        note_script(runs=False)
    note_script(runs=True)


def be_somewhere(folder: Path) -> None:
    """Restore a working directory if the script deleted its own; the end of the history context needs one."""
    try:
        Path.cwd()
    except FileNotFoundError:
        print("The script has deleted its working folder; what was in it is not kept.", flush=True)
        folder.mkdir(parents=True, exist_ok=True)
        os.chdir(folder)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
