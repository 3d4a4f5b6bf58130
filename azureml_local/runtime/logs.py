"""A run's log files, and the conversion of a job's output to valid UTF-8.

A job may print any bytes, and the SDK decodes logs strictly (azureml._file_utils.download_file_stream): a single byte
that isn't UTF-8 would make ``run.get_all_logs()`` fail.
"""

from __future__ import annotations

import codecs
import re
from pathlib import Path

from azureml_local.workspace.jobs import Distribution

BUILD_LOG = "azureml-logs/20_image_build_log.txt"
JOB_LOG = "user_logs/std_log.txt"
NODE_LOG = "system_logs/local_node.txt"


def rank_log(number: int) -> str:
    """The log of one process of a distributed job, as Azure names it."""
    return f"user_logs/std_log_process_{number}.txt"


def job_logs(distribution: Distribution | None) -> list[str]:
    """Where a job prints to."""
    if distribution is None:
        return [JOB_LOG]
    return [rank_log(number) for number in range(distribution.workers + distribution.servers)]


CHUNK = 1 << 20
# How "surrogateescape" decodes a byte that isn't UTF-8.
STRAY = re.compile("[\udc80-\udcff]")


def make_readable(path: Path) -> int:
    """Replace each byte that isn't UTF-8 by a question mark, chunk by chunk, in place.

    Returns the number of replaced bytes. The file keeps its length, so a reader in the middle of it can continue.
    """
    decoder = codecs.getincrementaldecoder("utf-8")("surrogateescape")
    found = 0
    with path.open("r+b") as file:
        written = 0
        while True:
            data = file.read(CHUNK)
            text, strays = decoder.decode(data, final=not data), 0
            if not text.isascii():
                text, strays = STRAY.subn("?", text)
            piece = text.encode()
            if strays:
                read = file.tell()
                file.seek(written)
                file.write(piece)
                file.seek(read)
            found += strays
            # Up to three bytes behind the read position: the start of an incomplete character.
            written += len(piece)
            if not data:
                return found
