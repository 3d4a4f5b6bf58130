"""What a node runs: the user's script inside the SDK's own history context.

Azure's service wraps scripts in the same way: the context flushes metrics (the SDK has no exit hook, so they
would be lost with the process), uploads ``outputs`` and ``logs``, and reports an exception as the run's
error. Started by path with the job environment's interpreter, which knows nothing of this package: standard
library only, and azureml where it is installed; and Python 3.6 is enough for it (installer.OLDEST).

A file beside the job's status file is there while what is around the script runs (process.around_script): from it the
server knows whose error it was.
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
    """contextlib.nullcontext, which Python 3.6 has not."""
    yield


def history_context() -> ContextManager[object]:
    """azureml's context manager, or one that does nothing where the environment has no azureml-core."""
    try:
        from azureml.history._tracking import get_history_context_manager
    except ImportError:
        print(
            "azureml-core isn't in this environment: metrics can't be logged; outputs are kept all the same.",
            flush=True,
        )
        return nothing()
    context: ContextManager[object] = get_history_context_manager(DirectoriesToWatch=["logs"])
    return context


def note_script(runs: bool) -> None:
    """Tell the server whether the script runs now, or what is around it."""
    path = os.path.join(os.path.dirname(os.environ["AZUREML_LOCAL_JOB"]), "around_script")
    with contextlib.suppress(OSError):  # a full disk: the end of the job is then the script's own, as far as is known
        if runs:
            os.unlink(path)
        else:
            os.close(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600))


def main(script: str, arguments: List[str]) -> None:
    sys.argv = [script, *arguments]
    sys.path[0] = str(Path(script).resolve().parent)
    folder = Path.cwd()
    # The SDK is 2,500 modules, which stay. The collector would look through them again and again: a third of what a
    # short job costs.
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
    """A script may have deleted the folder that it ran in; the context's own end needs one."""
    try:
        Path.cwd()
    except FileNotFoundError:
        print("The script has deleted its working folder; what was in it is not kept.", flush=True)
        folder.mkdir(parents=True, exist_ok=True)
        os.chdir(folder)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
