"""What the tutorials share: ``check_setup`` looks at the packages, ``load_data`` reads MNIST's files, ``watch`` shows
how runs get on, ``draw_digits`` and ``draw_confusion`` draw.

MNIST's files are gzip-compressed IDX: a short header, and then one byte a pixel or label. A job reads its data with
this file too, so what only a notebook needs is imported where it is used.
"""

import gzip
import html
import logging
import platform
import struct
import sys
import time
import warnings
import zlib
from importlib.util import find_spec
from pathlib import Path

IMAGES, LABELS = 2051, 2049  # the magic numbers: unsigned bytes in three dimensions, and in one
OVER = {"Completed", "Failed", "Canceled"}
LOG = "user_logs/std_log.txt"  # what a job's script prints
INK, PAPER, TILE, BLUE = "#1f2933", "#ffffff", "#eef1f4", "#2f6690"  # the colours of all figures


class SetupProblem(Exception):
    """Something to put right first. Jupyter shows the sentence alone, without a traceback."""

    def _render_traceback_(self):
        return [f"SetupProblem: {self}"]


def check_setup():
    """Look whether this kernel has what the notebooks for SDK v1 need, and silence what the SDK says about itself.

    Raises:
        SetupProblem: it hasn't; the message says in one sentence what to do.
    """
    if sys.version_info[:2] not in [(3, 10), (3, 11)]:
        raise SetupProblem(
            f"The SDK needs Python 3.10 or 3.11, not {platform.python_version()}: choose another kernel."
        )
    for package in ("azureml-core", "azureml-opendatasets", "azureml-widgets", "scikit-learn", "matplotlib"):
        module = {"scikit-learn": "sklearn"}.get(package, package.replace("-", "."))
        if not find_spec(module.split(".")[0]) or not find_spec(module):
            raise SetupProblem(f"{package} is missing: run `{sys.executable} -m pip install -r requirements.txt`.")
    if not find_spec("pkg_resources"):
        raise SetupProblem("setuptools is too new for azureml-core: run `pip install 'setuptools<81'`.")
    import IPython

    if IPython.version_info[0] > 8:
        raise SetupProblem("IPython is too new for azureml-widgets: run `pip install 'ipython<9'`.")
    # It imports pkg_resources, which warns each time, and says at each model that it fetches it without a session.
    warnings.filterwarnings("ignore", message="pkg_resources is deprecated")
    warnings.filterwarnings("ignore", message=r"azureml.core.model:\s+To leverage new model deployment")
    logging.getLogger("azureml._file_utils.file_utils").setLevel(logging.ERROR)


def load_data(filename, label=False):
    """The images or labels of one file, as unsigned bytes.

    Args:
        filename: path of a ``.gz`` file in IDX format.
        label: True for a file of labels, False for one of images.

    Returns:
        A writable uint8 array: images in the shape (n, rows * columns), labels (n, 1).

    Raises:
        ValueError: the file isn't what it should be; the message names it and says what was found.
        FileNotFoundError: there is no such file.
    """
    import numpy as np

    data = _decompress(filename)
    if len(data) < 8:
        raise ValueError(f"{filename}: {len(data)} bytes are no IDX file; its header alone has 8 or 16.")
    magic, count = struct.unpack_from(">II", data)
    if magic != (LABELS if label else IMAGES):
        raise ValueError(f"{filename}: {_what_it_is(magic, label)}")
    header, columns = (8, 1) if label else (16, 0)
    if not label:
        if len(data) < header:
            raise ValueError(f"{filename}: the header of an images file has 16 bytes, this one ends after {len(data)}.")
        rows, width = struct.unpack_from(">II", data, 8)
        columns = rows * width
    expected = header + count * columns
    if len(data) != expected:
        problem = "truncated" if len(data) < expected else "too long"
        raise ValueError(
            f"{filename}: the file is {problem}. Its header speaks of {count} items of {columns} bytes, "
            f"{expected} bytes in all; there are {len(data)}."
        )
    # A bytearray, so that the array can be written to without a copy.
    return np.frombuffer(data, np.uint8, offset=header).reshape(count, columns)


def _decompress(filename):
    compressed = Path(filename).read_bytes()
    if compressed[:2] != b"\x1f\x8b":
        raise ValueError(f"{filename}: not a gzip file (it begins with {compressed[:4]!r}).")
    try:
        return bytearray(gzip.decompress(compressed))
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise ValueError(f"{filename}: the gzip data is damaged or incomplete ({error}).") from error


def _what_it_is(magic, label):
    if magic == LABELS:
        return "a file of labels was read as images; pass label=True."
    if magic == IMAGES:
        return "a file of images was read as labels; pass label=False."
    kind = "labels" if label else "images"
    return f"the magic number is {magic}, not {LABELS if label else IMAGES}: this is no IDX file of {kind}."


def watch(*runs, tag=None, seconds=2, lines=8):
    """Show how runs get on, until all of them are over: phases, metrics so far, and the log of one that is alone.

    These are plain updates of an output, which JupyterLab, VS Code, Azure ML Studio and nbclient draw without a widget;
    outside a notebook they are lines. Interrupting it stops the watching; the runs go on.

    Args:
        runs: of any experiment; submitted runs or ones of long ago.
        tag: the tag that tells the runs apart; without one they are shown by their names.
        seconds: how long to wait before looking again.
        lines: how many of the log's last lines are shown.
    """
    from IPython import get_ipython  # here, since a job reads its data with this file and has no IPython
    from IPython.display import display

    view = display({"text/plain": ""}, raw=True, display_id=True) if get_ipython() else None
    seen = {run: [] for run in runs}
    while True:
        rows = []
        for run, history in seen.items():
            status = run.get_status()
            if not history or status != history[-1][0]:
                history.append((status, time.monotonic()))
            name = f"{tag} {run.tags[tag]}" if tag else run.display_name or run.id
            rows.append((name, run.get_portal_url(), _phases(history), _numbers(run.get_metrics())))
        log = _last_lines(runs[0], lines) if len(runs) == 1 else ""
        if view:
            view.update({"text/html": _as_html(rows, log), "text/plain": _as_text(rows, log)}, raw=True)
        else:
            print(_as_text(rows, log), flush=True)
        if all(history[-1][0] in OVER for history in seen.values()):
            return
        time.sleep(seconds)


def _phases(history):
    """How long each phase took, as far as it was seen: Queued 2 s, Running 9 s, Completed."""
    ends = [begun for _, begun in history[1:]] + [time.monotonic()]
    return ", ".join(
        status if status in OVER else f"{status} {end - begun:.0f} s"
        for (status, begun), end in zip(history, ends, strict=True)
    )


def _numbers(metrics):
    """Of each metric that is a number or a series of them the last."""
    last = {name: value[-1] if isinstance(value, list) and value else value for name, value in metrics.items()}
    return ", ".join(f"{name} {value:.4g}" for name, value in last.items() if isinstance(value, (int, float)))


def _last_lines(run, count):
    logs = run.get_details_with_logs().get("logFiles", {})
    log = logs.get(LOG) or next(reversed(list(logs.values())), "")
    return "\n".join(log.splitlines()[-count:])


def _as_html(rows, log):
    left = 'style="text-align: left"'
    head = "".join(f"<th {left}>{title}</th>" for title in ("run", "phases", "metrics so far"))
    body = "".join(
        f'<tr><td {left}><a href="{html.escape(url)}" target="_blank">{html.escape(name)}</a></td>'
        f"<td {left}>{html.escape(phases)}</td><td {left}>{html.escape(numbers)}</td></tr>"
        for name, url, phases, numbers in rows
    )
    return f"<table><tr>{head}</tr>{body}</table>" + (f"<pre><code>{html.escape(log)}</code></pre>" if log else "")


def _as_text(rows, log):
    return "\n".join([f"{name}: {phases}  {numbers}".rstrip() for name, _, phases, numbers in rows] + [log] * bool(log))


def draw_digits(images, captions, columns):
    """Draw images of 28 x 28 pixels on a grid of so many columns, each with its caption above."""
    import matplotlib.pyplot as plt
    from matplotlib.colors import LinearSegmentedColormap

    colours = LinearSegmentedColormap.from_list("ink on a tile", [TILE, INK])
    rows = max(1, -(-len(images) // columns))
    figure, axes = plt.subplots(rows, columns, figsize=(0.9 * columns, 1.15 * rows), squeeze=False)
    figure.set_facecolor(PAPER)
    for axis in axes.flat:
        axis.axis("off")
    for axis, image, caption in zip(axes.flat, images, captions, strict=False):
        axis.imshow(image.reshape(28, 28), cmap=colours, vmin=0, vmax=255)
        axis.set_title(caption, fontsize=10, color=BLUE, pad=3)
    figure.tight_layout(pad=0.6)


def draw_confusion(matrix):
    """Draw a confusion matrix: a row for each digit, a column for each answer; the redder, the more mistakes."""
    import matplotlib.pyplot as plt
    import numpy as np

    confusion = np.array(matrix)
    mistakes = confusion - np.diag(np.diag(confusion))
    figure, axis = plt.subplots(figsize=(6.4, 6.2), facecolor=PAPER)
    axis.imshow(mistakes, cmap="Reds", vmin=0, vmax=1.6 * max(1, mistakes.max()))
    for row, column in np.ndindex(confusion.shape):
        right = row == column
        if right:
            axis.add_patch(plt.Rectangle((column - 0.5, row - 0.5), 1, 1, color=BLUE))
        axis.text(
            column,
            row,
            confusion[row, column] or "·",
            ha="center",
            va="center",
            fontsize=9,
            color=PAPER if right else INK,
        )
    axis.set_xticks(range(len(confusion)))
    axis.set_yticks(range(len(confusion)))
    axis.set_xlabel("what the model saw")
    axis.set_ylabel("the digit")
    axis.tick_params(length=0)
    axis.spines[:].set_visible(False)
    axis.set_title(f"{np.trace(confusion):,} of {confusion.sum():,} test images right", pad=12)
    figure.tight_layout()
