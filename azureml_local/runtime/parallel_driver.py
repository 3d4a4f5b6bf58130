"""Driver of a ParallelRunStep: shares files or rows out to worker processes, which call the entry script's ``run``.

In Azure the service puts a program of its own into the job (``driver/amlbi_main.py``, in no package); this one does
what the SDK's documentation says of it (azureml.pipeline.steps: ParallelRunConfig). `job.py` runs it as the job's
script, with a file that says what to do (`jobrunner`). Each worker is a process of this same file. It runs with the job
environment's interpreter, in which this package isn't installed: standard library only, Python 3.6 or later, and
azureml and pandas where the input is a table.

``run(mini_batch)`` gets a list of paths or a DataFrame, and one more argument where it takes one: an object with
``mini_batch_id``, ``dataset_name`` and ``partition_key_value``. What it returns, a list or a DataFrame, has an item for
each one that it processed.
"""

import importlib.util
import inspect
import json
import logging
import multiprocessing
import os
import subprocess
import sys
import time
import traceback
import types
from collections import deque
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any, Dict, Iterator, List, Optional, Tuple

Json = Dict[str, Any]
WORKER = "--azureml-local-worker"


class Batch:
    """Files, or rows of a table, that one call of ``run`` gets. ``tries`` counts those that it was given out."""

    def __init__(self, number: int, dataset: str, items: Any, keys: Optional[Json] = None) -> None:
        self.number = number
        self.dataset = dataset
        self.items = items
        self.keys = keys
        self.tries = 0


# Batches ----------------------------------------------------------------------------------------------------


def batches_of(plan: Json) -> Iterator[Batch]:
    number = 0
    for name, place in plan["inputs"]:
        parts = of_table(plan, place) if plan["tables"] else of_files(plan, place)
        for keys, items in parts:
            yield Batch(number, name, items, keys)
            number += 1


def of_files(plan: Json, place: str) -> Iterator[Tuple[Optional[Json], Any]]:
    found = sorted(str(path) for path in Path(place).rglob("*") if path.is_file())
    if Path(place).is_file():
        found = [place]
    size = plan["mini_batch_size"]
    for start in range(0, len(found), size):
        yield None, found[start : start + size]


def of_table(plan: Json, dataset_id: str) -> Iterator[Tuple[Optional[Json], Any]]:
    """Rows of a table: of so many bytes, or of the same values in the columns that partition it."""
    from azureml.core import Dataset, Run

    workspace = Run.get_context(allow_offline=False).experiment.workspace
    frame = Dataset.get_by_id(workspace, dataset_id).to_pandas_dataframe()
    keys = plan["partition_keys"]
    if keys:
        missing = [key for key in keys if key not in frame.columns]
        if missing:
            raise SystemExit(
                "The table has no column %s to partition by; it has %s."
                % (", ".join(map(repr, missing)), ", ".join(map(repr, frame.columns)))
            )
        for values, part in frame.groupby(keys if len(keys) > 1 else keys[0], sort=True, dropna=False):
            each = values if len(keys) > 1 else (values,)
            yield dict(zip(keys, each)), part.reset_index(drop=True)
        return
    size = int(frame.memory_usage(index=False, deep=True).sum())
    rows = max(1, len(frame) * plan["mini_batch_size"] // max(1, size))
    for start in range(0, len(frame), rows):
        yield None, frame.iloc[start : start + rows].reset_index(drop=True)


# Workers ----------------------------------------------------------------------------------------------------


class Worker:
    """A process that calls ``run``. ``batch`` is what it works on, None before it is ready and between two."""

    def __init__(self, plan_path: str) -> None:
        ours, theirs = multiprocessing.Pipe()
        words = [sys.executable, os.path.abspath(__file__), WORKER, plan_path, str(theirs.fileno())]
        self.process = subprocess.Popen(words, pass_fds=[theirs.fileno()])
        theirs.close()
        self.connection = ours
        self.ready = False
        self.batch: Optional[Batch] = None
        self.deadline = float("inf")

    def give(self, batch: Batch, timeout: float) -> None:
        self.batch = batch
        batch.tries += 1
        self.deadline = time.monotonic() + timeout
        self.connection.send((batch.number, batch.dataset, batch.keys, batch.items))

    def end(self) -> None:
        self.connection.close()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()
        self.connection.close()


class Driver:
    """The pool of workers, and what has become of the batches."""

    def __init__(self, plan: Json, plan_path: str) -> None:
        self.plan = plan
        self.plan_path = plan_path
        self.waiting: "deque[Batch]" = deque()
        self.workers: List[Worker] = []
        self.total = self.done_batches = self.failed_batches = 0
        self.items = self.done_items = self.lost_items = 0
        self.out: Any = None

    def run(self) -> None:
        """Raises SystemExit with the reason where it fails."""
        for batch in batches_of(self.plan):
            self.waiting.append(batch)
            self.items += len(batch.items)
        self.total = len(self.waiting)
        say(
            "%d items in %d mini batches, for %d processes."
            % (self.items, self.total, min(self.plan["processes"], self.total))
        )
        try:
            self._open_output()
            while len(self.workers) < min(self.plan["processes"], self.total):
                self._add_worker()
            while self.waiting or any(worker.batch for worker in self.workers):
                self._share_out()
                self._listen()
        finally:
            for worker in self.workers:
                worker.kill() if worker.batch else worker.end()
            if self.out is not None:
                self.out.close()
        self._sum_up()

    def _open_output(self) -> None:
        if self.plan["append_to"]:
            path = Path(self.plan["append_to"])
            path.parent.mkdir(parents=True, exist_ok=True)
            self.out = path.open("w", encoding="utf-8")

    def _add_worker(self) -> None:
        self.workers.append(Worker(self.plan_path))

    def _share_out(self) -> None:
        for worker in self.workers:
            if self.waiting and worker.ready and worker.batch is None:
                worker.give(self.waiting.popleft(), self.plan["timeout"])

    def _listen(self) -> None:
        """Until a worker has something to say, or has taken too long."""
        deadline = min(worker.deadline for worker in self.workers)
        timeout = None if deadline == float("inf") else max(0.0, deadline - time.monotonic())
        by_connection = {worker.connection: worker for worker in self.workers}
        for connection in wait(list(by_connection), timeout):
            worker = by_connection[connection]  # type: ignore[index]
            try:
                self._hear(worker, worker.connection.recv())
            except (EOFError, OSError):
                code = worker.process.wait()
                if not worker.ready:
                    raise SystemExit("A worker process ended with the code %d before init() was done." % code) from None
                self._replace(worker, "its process ended with the code %d" % code)
        for worker in list(self.workers):
            if worker.batch is not None and time.monotonic() >= worker.deadline:
                self._replace(worker, "run() took longer than run_invocation_timeout (%g s)" % self.plan["timeout"])

    def _hear(self, worker: Worker, said: Tuple[str, Any]) -> None:
        kind, value = said
        if kind == "ready":
            worker.ready = True
        elif kind == "refused":
            raise SystemExit(value)
        else:
            batch, worker.batch, worker.deadline = worker.batch, None, float("inf")
            assert batch is not None
            if kind == "failed":
                self._failed(batch, value)
            else:
                self._done(batch, value)

    def _replace(self, worker: Worker, why: str) -> None:
        """A worker of no more use: another one takes its place."""
        batch = worker.batch
        worker.kill()
        self.workers.remove(worker)
        if batch is not None:
            self._failed(batch, why)
        if self.waiting:
            self._add_worker()

    def _done(self, batch: Batch, lines: List[str]) -> None:
        count = len(batch.items)
        self.done_batches += 1
        self.done_items += min(len(lines), count)
        if self.out is not None:
            self.out.writelines(line + "\n" for line in lines)
            self.out.flush()
        if len(lines) < count:
            say("Mini batch %d: run() returned %d items for %d." % (batch.number, len(lines), count))
            self._lose(count - len(lines))

    def _failed(self, batch: Batch, why: str) -> None:
        most = self.plan["max_try"]
        say("Mini batch %d failed (try %d of %d): %s" % (batch.number, batch.tries, most, why))
        if batch.tries < most:
            self.waiting.append(batch)
            return
        self.failed_batches += 1
        self._lose(len(batch.items))
        allowed = self.plan["allowed_failed_count"]
        if allowed is not None and 0 <= allowed < self.failed_batches:
            raise SystemExit(
                "%d mini batches failed, which is more than allowed_failed_count=%d. The last one: %s"
                % (self.failed_batches, allowed, why)
            )

    def _lose(self, count: int) -> None:
        self.lost_items += count
        threshold = self.plan["error_threshold"]
        if 0 <= threshold < self.lost_items:
            raise SystemExit(
                "%d of %d items failed, which is more than error_threshold=%d."
                % (self.lost_items, self.items, threshold)
            )

    def _sum_up(self) -> None:
        say(
            "%d of %d mini batches done, %d failed; %d of %d items processed, %d failed."
            % (self.done_batches, self.total, self.failed_batches, self.done_items, self.items, self.lost_items)
        )
        most = self.plan["allowed_failed_percent"]
        percent = 100.0 * self.failed_batches / self.total if self.total else 0.0
        if most is not None and percent > most:
            raise SystemExit(
                "%.1f %% of the mini batches failed, which is more than allowed_failed_percent=%g." % (percent, most)
            )


# In a worker ------------------------------------------------------------------------------------------------


def entry_module(path: str) -> types.ModuleType:
    spec = importlib.util.spec_from_file_location("entry_script", path)
    if spec is None or spec.loader is None:
        raise SystemExit("The entry script %r is no Python file." % path)
    module = importlib.util.module_from_spec(spec)
    sys.modules["entry_script"] = module
    spec.loader.exec_module(module)
    return module


def provide_user_module(plan: Json) -> None:
    """``azureml_user.parallel_run``, which entry scripts import (Azure puts it into the job)."""
    logger = logging.getLogger("EntryScript")
    logger.setLevel(plan["logging_level"])
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    logger.addHandler(handler)

    class EntryScript(object):
        """What an entry script may know of its step."""

        def __init__(self) -> None:
            self.logger = logger
            self.output_dir = plan["output"]
            self.working_dir = plan["working"]
            self.log_dir = os.path.join(plan["working"], "logs")

    package, module = types.ModuleType("azureml_user"), types.ModuleType("azureml_user.parallel_run")
    module.EntryScript = EntryScript  # type: ignore[attr-defined]
    package.parallel_run = module  # type: ignore[attr-defined]
    sys.modules.update({"azureml_user": package, "azureml_user.parallel_run": module})


def takes_context(run: Any) -> bool:
    try:
        kinds = [each.kind for each in inspect.signature(run).parameters.values()]
    except (TypeError, ValueError):
        return False
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return sum(kind in positional for kind in kinds) > 1


def lines_of(result: Any) -> List[str]:
    """What ``run`` returned, a line for each item: the values of a table's row with blanks between them."""
    if hasattr(result, "to_csv") and hasattr(result, "columns"):
        text = result.to_csv(sep=" ", header=False, index=False)
        return str(text).splitlines()
    if isinstance(result, (str, bytes)) or not hasattr(result, "__iter__"):
        raise TypeError("run() must return a list or a DataFrame, not %s" % type(result).__name__)
    return [str(item) for item in result]


def last_line(error: BaseException) -> str:
    return "".join(traceback.format_exception_only(type(error), error)).strip().splitlines()[-1]


def work(plan: Json, connection: Connection) -> None:
    """Serve batches until the driver has no more."""
    sys.argv = [plan["entry"]] + plan["arguments"]
    sys.path[0] = os.path.dirname(os.path.abspath(plan["entry"]))
    provide_user_module(plan)
    try:
        module = entry_module(plan["entry"])
        run = getattr(module, "run", None)
        if not callable(run):
            raise SystemExit("The entry script has no function run(mini_batch).")
        if callable(getattr(module, "init", None)):
            module.init()
    except BaseException as error:
        traceback.print_exc()
        connection.send(("refused", "The entry script can't be begun: %s" % last_line(error)))
        return
    connection.send(("ready", None))
    with_context = takes_context(run)
    while True:
        try:
            number, dataset, keys, items = connection.recv()
        except EOFError:
            return
        context = types.SimpleNamespace(mini_batch_id=number, dataset_name=dataset, partition_key_value=keys)
        try:
            lines = lines_of(run(items, context) if with_context else run(items))
        except Exception as error:
            traceback.print_exc()
            connection.send(("failed", last_line(error)))
        else:
            connection.send(("done", lines))


def say(line: str) -> None:
    print("[parallel] " + line, flush=True)


def main(words: List[str]) -> None:
    if words[0] == WORKER:
        plan = json.loads(Path(words[1]).read_text(encoding="utf-8"))
        work(plan, Connection(int(words[2])))
    else:
        Driver(json.loads(Path(words[0]).read_text(encoding="utf-8")), words[0]).run()


if __name__ == "__main__":
    main(sys.argv[1:])
