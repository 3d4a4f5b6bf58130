"""Thread limits of a job's libraries: all nodes share this machine.

By themselves the libraries of numpy and scikit-learn start one for each core, in each of the jobs that run at once;
four jobs with as many threads each as there are cores take longer than one after the other.
"""

from __future__ import annotations

import os

from azureml_local.workspace.vm_sizes import VM_SIZES

# OpenMP, the two linear algebra libraries that numpy comes with, numexpr (of pandas), and joblib's n_jobs=-1.
VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS", "LOKY_MAX_CPU_COUNT")

CORES = {size.name.lower(): size.cores for size in VM_SIZES}


def machine_cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def thread_variables(vm_size: str | None, jobs: int, cores: int) -> dict[str, str]:
    """Variables that limit threads to the VM size's cores, and to a job's share of this machine's cores while so many
    jobs run.
    """
    share = max(1, cores // max(1, jobs))
    threads = min(share, CORES.get((vm_size or "").lower(), share))
    return dict.fromkeys(VARIABLES, str(threads))
