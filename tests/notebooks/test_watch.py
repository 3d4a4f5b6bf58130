"""utils.watch: how runs get on, in a notebook and outside one."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from IPython.core.displaypub import CapturingDisplayPublisher
from IPython.core.interactiveshell import InteractiveShell

from utils import watch


@pytest.fixture
def run(experiment: Any) -> Any:
    begun = experiment.start_logging(display_name="<b>a name", snapshot_directory=None, outputs=False)
    begun.tag("rate", "<i>0.5")
    begun.log("accuracy", 0.25)
    begun.log_list("loss", [0.5, 0.125])
    begun.log_table("by class", {"class": [1, 2]})
    begun.flush()
    return begun


@pytest.fixture
def shown() -> Iterator[list[dict[str, Any]]]:
    """What an IPython shows while it lasts."""
    shell = InteractiveShell.instance()
    publisher = shell.display_pub = CapturingDisplayPublisher(parent=shell)
    yield publisher.outputs
    shell.restore_sys_module_state()
    InteractiveShell.clear_instance()


def test_watch_outside_a_notebook_writes_lines(run: Any, capsys: pytest.CaptureFixture[str]) -> None:
    threading.Timer(1.5, run.complete).start()
    watch(run, seconds=0.5)
    first, *_, last = capsys.readouterr().out.splitlines()
    assert first == "<b>a name: Running 0 s  accuracy 0.25, loss 0.125"
    assert re.fullmatch(r"<b>a name: Running [1-9] s, Completed  accuracy 0\.25, loss 0\.125", last)


def test_watch_in_a_notebook_replaces_one_output_and_escapes_html(run: Any, shown: list[dict[str, Any]]) -> None:
    run.complete()
    watch(run, run, tag="rate")
    assert [output["update"] for output in shown] == [False, True]
    assert len({output["transient"]["display_id"] for output in shown}) == 1
    html = shown[-1]["data"]["text/html"]
    assert "<i>" not in html
    assert f'<a href="{run.get_portal_url().replace("&", "&amp;")}" target="_blank">rate &lt;i&gt;0.5</a>' in html
    assert shown[-1]["data"]["text/plain"].startswith("rate <i>0.5: Completed  accuracy 0.25")


def test_watch_of_a_single_run_shows_the_end_of_its_log(
    submit: Callable[..., Any], shown: list[dict[str, Any]]
) -> None:
    job = submit("for line in range(20): print('line', line, '<script>')")
    watch(job, seconds=0.2, lines=6)
    html = shown[-1]["data"]["text/html"]
    assert "line 19 &lt;script&gt;\n" in html  # after it there are the SDK's own last words
    assert "line 10" not in html
    assert "Completed" in shown[-1]["data"]["text/plain"].splitlines()[0]
