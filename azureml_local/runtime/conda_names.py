"""Package names that differ between conda and PyPI.

Most Python packages have one name in both worlds (PEP 503 makes ``ruamel_yaml`` and ``ruamel-yaml`` the
same), so only the exceptions are listed. Names are in PEP 503's normal form: lower case, with ``-`` for ``_``
and ``.``. Sources: the package pages of conda-forge and the main channel, and their published naming
comparison of August 2025.
"""

from __future__ import annotations

import re

PYPI_NAMES: dict[str, str] = {
    "astropy-base": "astropy",
    "brotli-python": "brotli",
    "cufflinks-py": "cufflinks",
    "dask": "dask[complete]",
    "dask-core": "dask",
    "diffusers-base": "diffusers",
    "diffusers-torch": "diffusers",
    "faiss": "faiss-cpu",
    "keras-base": "keras",
    "keras-gpu": "keras",
    "libopencv": "opencv-python-headless",
    "matplotlib-base": "matplotlib",
    "msgpack-python": "msgpack",
    "openbabel": "openbabel-wheel",
    "opencv": "opencv-python-headless",
    "pandera-base": "pandera",
    "pandera-core": "pandera",
    "pil": "pillow",
    "prince-factor-analysis": "prince",
    "psycopg2": "psycopg2-binary",
    "py-opencv": "opencv-python-headless",
    "py-xgboost": "xgboost",
    "py-xgboost-cpu": "xgboost",
    "py-xgboost-gpu": "xgboost",
    "pyarrow-all": "pyarrow",
    "pyarrow-core": "pyarrow",
    "pyqt": "pyqt5",
    "pytables": "tables",
    "python-avro": "avro-python3",
    "python-blosc": "blosc",
    "python-confluent-kafka": "confluent-kafka",
    "python-duckdb": "duckdb",
    "python-fastjsonschema": "fastjsonschema",
    "python-flatbuffers": "flatbuffers",
    "python-graphviz": "graphviz",
    "python-kaleido": "kaleido",
    "python-lmdb": "lmdb",
    "python-tzdata": "tzdata",
    "python-wget": "wget",
    "python-xxhash": "xxhash",
    "pytorch": "torch",
    "pytorch-cpu": "torch",
    "pytorch-gpu": "torch",
    "qtconsole-base": "qtconsole",
    "redis-py": "redis",
    "seaborn-base": "seaborn",
    "spyder-base": "spyder",
    "tensorflow-base": "tensorflow",
    "tensorflow-eigen": "tensorflow",
    "tensorflow-gpu": "tensorflow",
    "tensorflow-mkl": "tensorflow",
    "uvicorn-standard": "uvicorn[standard]",
}

# Libraries and markers that conda packs one by one and that Python's wheels, or Python itself, bring along.
# `conda env export` lists them; several have a namesake on PyPI that is something else entirely (snappy:
# 3-manifolds).
_LIBRARIES = """
    -libgcc-mutex -openmp-mutex -py-xgboost-mutex -tflow-select abseil-cpp archspec arrow-cpp backports
    blas blosc boost-cpp bzip2 c-ares ca-certificates cairo cpuonly double-conversion expat fontconfig
    freetype gettext gflags giflib glib glog gmp graphite2 grpc-cpp gst-plugins-base gstreamer harfbuzz
    hdf4 hdf5 icu intel-openmp isl jasper jemalloc jpeg jxrlib krb5 lame lcms2 ld-impl-linux-64 lerc
    llvm-openmp lz4-c mkl mkl-devel mkl-fft mkl-random mkl-service mpc mpfr mpi ncurses nettle nomkl nspr
    nss numpy-base openblas openh264 openjpeg openssl orc pango pcre pcre2 pixman pthread-stubs
    python-abi qhull qt qt-main re2 readline s2n snappy sqlite thrift-cpp tk ucrt unixodbc-headers
    utf8proc vc vc14-runtime vs2015-runtime x264 x265 xerces-c xz yaml zeromq zlib zlib-ng zstd
"""
BROUGHT_ALONG: frozenset[str] = frozenset(_LIBRARIES.split())
_BROUGHT_ALONG_PATTERN = re.compile(
    r"(aws-c|aws-crt|xorg)-.+|lib(arrow|gcc|gfortran|stdcxx|xgboost)(-.+)?"
    r"|lib(abseil|aec|blas|brotli.*|cblas|crc32c|cublas|curl|deflate|edit|ev|event|expat|faiss|ffi|gdal|glib|gomp|google-cloud|grpc"
    r"|hwloc|iconv|idn2|jpeg-turbo|lapack|lapacke|llvm\d*|netcdf|nghttp2|nsl|openblas|parquet|png|pq|protobuf|quadmath|re2|rttopo"
    r"|sodium|spatialindex|spatialite|sqlite|ssh2|thrift|tiff|torch|unistring|utf8proc|uuid|uv|vorbis|webp|webp-base|xcb"
    r"|xcrypt|xml2|xslt|zlib)"
)

_CUDA = "PyPI's GPU packages bring their own CUDA libraries: remove the line"
_SYSTEM = "it is not a Python package: install it on this machine and remove the line"
_COMPILER = "install a compiler on this machine if a package needs one, and remove the line"

_PROGRAMS = """
    aria2 bazel boost chromedriver coin-or-cbc coincbc curl docker-compose eigen espeak ffmpeg firefox
    gawk geckodriver ghostscript git git-lfs glpk gnuplot go htop imagemagick ipopt jq julia libsndfile
    maven mesalib mongodb mysql nginx nodejs octave openjdk openssh openslide p7zip pandoc parallel perl
    phantomjs poppler portaudio postgresql proj redis redis-server rsync ruby rust samtools scip sed sox
    tar terraform tesseract texlive-core tmux unixodbc unrar unzip vim wget yarn zip
"""

# What conda has and PyPI does not: name -> what to do. Some have a namesake on PyPI (ffmpeg, nodejs, redis)
# that must not be installed.
NO_COUNTERPART: dict[str, str] = {
    **dict.fromkeys(
        (
            "cudatoolkit",
            "cudatoolkit-dev",
            "cudnn",
            "cuda",
            "nccl",
            "cutensor",
            "pytorch-cuda",
            "tensorrt-libs",
        ),
        _CUDA,
    ),
    **dict.fromkeys(
        (
            "binutils",
            "bison",
            "c-compiler",
            "clang",
            "clangxx",
            "compilers",
            "cxx-compiler",
            "flex",
            "fortran-compiler",
            "gcc",
            "gfortran",
            "gxx",
            "make",
            "nasm",
            "pkg-config",
            "yasm",
        ),
        _COMPILER,
    ),
    **dict.fromkeys(_PROGRAMS.split(), _SYSTEM),
    "anaconda": "name the packages that the script needs instead of the whole distribution",
    "conda": "packages are installed from PyPI here: remove the line",
    "mamba": "packages are installed from PyPI here: remove the line",
    "graphviz": "it is the Graphviz program: install it on this machine, and ask for python-graphviz for Python's part",
    "r": "R packages cannot be installed here, only Python packages",
    "rstudio": "R packages cannot be installed here, only Python packages",
}
_NO_COUNTERPART_PATTERNS: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"r-.+"), "R packages cannot be installed here, only Python packages"),
    (re.compile(r"(cuda|nvidia-cuda|libcudnn|libnccl)-.+"), _CUDA),
    (
        re.compile(r"(binutils|gcc|gxx|gfortran|sysroot|clang|clangxx|kernel-headers)(-impl)?-(linux|osx|win)-.+"),
        _COMPILER,
    ),
    (re.compile(r"(java|texlive|perl)-.+"), _SYSTEM),
)


def brought_along(name: str) -> bool:
    """Whether the conda package `name` (normal form) is a library that needs no package of its own outside
    conda."""
    return name in BROUGHT_ALONG or bool(_BROUGHT_ALONG_PATTERN.fullmatch(name))


def no_counterpart(name: str) -> str | None:
    """What to do about the conda package `name` (normal form) that PyPI does not have; None where PyPI should
    have it."""
    if name in NO_COUNTERPART:
        return NO_COUNTERPART[name]
    return next((advice for pattern, advice in _NO_COUNTERPART_PATTERNS if pattern.fullmatch(name)), None)
