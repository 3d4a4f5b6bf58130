"""Conda dependencies, read as what PyPI calls them."""

from __future__ import annotations

from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from azureml_local.runtime.conda import EnvironmentBuildError, PackageList, read_packages, without_secrets
from azureml_local.runtime.conda_names import BROUGHT_ALONG, NO_COUNTERPART, PYPI_NAMES


def read(*dependencies: Any, pip: list[str] | None = None) -> PackageList:
    return read_packages({"dependencies": [*dependencies, *([{"pip": pip}] if pip is not None else [])]})


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ("numpy", "numpy"),
        ("numpy=1.26", "numpy==1.26.*"),
        ("numpy=1.26.*", "numpy==1.26.*"),
        ("numpy=1.26*", "numpy==1.26.*"),
        ("numpy==1.26.4", "numpy==1.26.4"),
        ("numpy 1.26.4", "numpy==1.26.4"),
        ("numpy 1.26.*", "numpy==1.26.*"),
        ("numpy=1.26.*=py311_0", "numpy==1.26.*"),
        ("numpy==1.26.4=py311h_0", "numpy==1.26.4"),
        ("numpy=1.26.4=py310hb13e2d6_0", "numpy==1.26.4.*"),
        ("numpy 1.26 py311_0", "numpy==1.26"),
        ("numpy>=1.2,<2", "numpy>=1.2,<2"),
        ("numpy >= 1.2, < 2", "numpy>=1.2,<2"),
        ("numpy>=1.2.*", "numpy>=1.2"),
        ("numpy!=1.26.*", "numpy!=1.26.*"),
        ("numpy~=1.26", "numpy~=1.26"),
        ("numpy=1.26,<1.26.3", "numpy==1.26.*,<1.26.3"),
        ("numpy=*", "numpy"),
        ("conda-forge::numpy=1", "numpy==1.*"),
        ("conda-forge/linux-64::numpy", "numpy"),
        ("  NumPy = 1.26 ", "NumPy==1.26.*"),
        ("numpy=2.0.0rc1", "numpy==2.0.0rc1"),
        ("pytorch=2.1=py3.10_cuda12.1_cudnn8", "torch==2.1.*"),
        ("PyTorch", "torch"),
        ("py-xgboost>=1.7", "xgboost>=1.7"),
        ("opencv=4.8", "opencv-python-headless==4.8.*"),
        ("msgpack-python", "msgpack"),
        ("matplotlib-base", "matplotlib"),
        ("pytables", "tables"),
        ("dask=2024.1", "dask[complete]==2024.1.*"),
        ("ruamel_yaml", "ruamel_yaml"),  # PyPI's ruamel-yaml is not ruamel.yaml's normal form's rival: they are one
        ("protobuf<5", "protobuf<5"),
        ("setuptools=65", "setuptools==65.*"),
    ],
)
def test_a_conda_dependency_becomes_a_requirement(spec: str, expected: str) -> None:
    (requirement,) = read(spec).requirements
    assert Requirement(requirement) == Requirement(expected)


def test_every_name_in_the_table_is_in_normal_form_and_stands_in_one_list() -> None:
    from packaging.utils import canonicalize_name

    for names in (PYPI_NAMES, BROUGHT_ALONG, NO_COUNTERPART):
        assert [name for name in names if canonicalize_name(name) != name] == []
    assert not set(PYPI_NAMES) & BROUGHT_ALONG
    assert not set(PYPI_NAMES) & set(NO_COUNTERPART)
    assert not set(NO_COUNTERPART) & BROUGHT_ALONG
    assert [name for name in PYPI_NAMES.values() if not Requirement(name).name] == []


@pytest.mark.parametrize(
    ("spec", "python"),
    [
        ("python=3.10", "==3.10.*"),
        ("python=3.10.18", "==3.10.18.*"),
        ("python>=3.9,<3.12", ">=3.9,<3.12"),
        ("python==3.11.7", "==3.11.7"),
        ("python", ""),
    ],
)
def test_python_is_a_version_and_not_a_package(spec: str, python: str) -> None:
    packages = read(spec)
    assert packages.python == SpecifierSet(python)
    assert packages.requirements == []


def test_pip_and_wheel_are_tools_of_conda_and_any_version_of_them_will_do() -> None:
    packages = read("pip", "pip=21.3", "wheel=0.37")
    assert packages.requirements == []
    assert [note.split(" is read")[0] for note in packages.notes] == ["pip=21.3", "wheel=0.37"]


@pytest.mark.parametrize(
    "spec", ["mkl", "libgcc-ng=12", "_libgcc_mutex=0.1=main", "blas=1.0=mkl", "xorg-libx11", "snappy"]
)
def test_a_library_that_wheels_bring_along_is_left_out_and_the_log_says_so(spec: str) -> None:
    packages = read(spec, "six")
    assert packages.requirements == ["six"]
    (note,) = packages.notes
    assert note.startswith(spec.split("=")[0])
    assert "left out" in note


def test_build_strings_are_left_out_and_the_log_says_so() -> None:
    packages = read("numpy=1.26=py311_0", "scipy=1.11=py311_1", "six=1.16=*")
    assert packages.notes == [
        "Conda build strings have no counterpart on PyPI and are left out: numpy=py311_0, scipy=py311_1."
    ]


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("cudatoolkit=11.3", "The conda package cudatoolkit has no counterpart"),
        ("conda-forge::ffmpeg", "install it on this machine and remove the line"),
        ("r-base=4.1", "R packages cannot be installed here"),
        ("r-dplyr", "R packages cannot be installed here"),
        ("gcc_linux-64", "install a compiler"),
        ("openjdk", "install it on this machine"),
        ("graphviz", "python-graphviz"),
        ("redis", "install it on this machine"),
        ("numpy[version='>=1.2']", "is not understood"),
        ("sel(linux): numpy", "is not understood"),
        ("numpy=1.26|1.25", "alternatives"),
        ("numpy=1.26=a=b", "is not understood"),
        ("jpeg-turbo-py=9e", "The version 9e"),
        ("--index-url=https://evil.example", "is not understood"),
        ("-e .", "is not understood"),
        ("numpy\n--index-url https://evil.example", "is not understood"),
        ("", "is not understood"),
    ],
)
def test_conda_specification_without_a_pip_equivalent_is_refused(spec: str, words: str) -> None:
    with pytest.raises(EnvironmentBuildError, match=words.replace("(", r"\(")) as raised:
        read(spec)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    "dependencies", ["numpy", {"pip": []}, [1], [{"npm": ["x"]}], [{"pip": "six"}], [{"pip": [1]}], [None]]
)
def test_conda_dependencies_of_the_wrong_type_are_refused(dependencies: Any) -> None:
    with pytest.raises(EnvironmentBuildError, match="Environment"):
        read_packages({"dependencies": dependencies})


def test_pip_lines_are_requirements_without_comments() -> None:
    packages = read(
        pip=["six==1.16.0", "# a comment", "", "requests[socks]>=2 ; python_version > '3'  # why", "Six==1.16.0"]
    )
    assert packages.requirements == ['requests[socks]>=2; python_version > "3"', "Six==1.16.0", "six==1.16.0"]
    assert packages.options == []


@pytest.mark.parametrize(
    "line",
    ["https://a.example/x-1.0-py3-none-any.whl", "git+https://a.example/x.git@v1", "x@ https://a.example/x.zip"],
)
def test_requirements_by_url_are_passed_on(line: str) -> None:
    assert read(pip=[line]).requirements == [line]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("-r requirements.txt", "points to a file or folder"),
        ("-e .", "points to a file or folder"),
        ("--editable=git+https://a.example/x.git", "points to a file or folder"),
        ("-c constraints.txt", "points to a file or folder"),
        ("./package", "is a path"),
        ("/opt/x-1.0-py3-none-any.whl", "is a path"),
        ("x-1.0-py3-none-any.whl", "is a path"),
        ("x @ file:///etc", "is a path"),
        ("file:///opt/x", "is a path"),
        ("--target=/etc", "not supported"),
        ("--python /bin/sh", "not supported"),
        ("--config-settings x=y", "not supported"),
        ("--index-url", "not supported"),
        ("--index-url https://a.example/simple --target /etc", "not supported"),
        ("--index-url file:///etc", "needs an http or https URL"),
        ("--extra-index-url ftp://a.example", "needs an http or https URL"),
        ("--find-links ../wheels", "needs an http or https URL"),
        ("--trusted-host --target", "not supported"),
        ("six\n--target /etc", "line break"),
        ("six==1.0 --hash=sha256:00", "is not valid"),
        ("six=1.16", "is not valid"),
        ("six; rm -rf /", "is not valid"),
        ("$(id)", "is not valid"),
    ],
)
def test_a_pip_line_that_reaches_outside_or_is_not_valid_is_refused(line: str, words: str) -> None:
    with pytest.raises(EnvironmentBuildError, match=words) as raised:
        read(pip=[line])
    assert "\n" not in str(raised.value)


def test_index_options_are_passed_on_once_and_said() -> None:
    packages = read(
        pip=[
            "--extra-index-url=https://a.example/simple",
            "--extra-index-url https://a.example/simple",
            "-i https://b.example/simple",
            "-f /srv/wheels",
            "--pre",
            "--no-binary :all:",
            "--trusted-host b.example:8443",
            "six",
        ]
    )
    assert packages.options == [
        "--extra-index-url https://a.example/simple",
        "--index-url https://b.example/simple",
        "--find-links /srv/wheels",
        "--pre",
        "--no-binary :all:",
        "--trusted-host b.example:8443",
    ]
    assert "--index-url https://b.example/simple is passed on to uv." in packages.notes


def test_secrets_in_urls_are_masked() -> None:
    line = "--index-url https://user:pa@ss@b.example/simple"
    assert without_secrets(line) == "--index-url https://***@b.example/simple"
    assert (
        without_secrets("x @ https://b.example/x.whl?sv=1&sig=abc%2F&se=2")
        == "x @ https://b.example/x.whl?sv=1&sig=***&se=2"
    )
    assert without_secrets("https://b.example/x@1.0") == "https://b.example/x@1.0"
    with pytest.raises(EnvironmentBuildError) as raised:
        read(pip=["--index-url ftp://user:secret@b.example/simple"])
    assert "secret" not in str(raised.value)


def test_conda_file_written_by_the_sdk_is_read_without_its_index_lines() -> None:
    """`CondaDependencies.create` adds two index options by itself that name the public index by its old name."""
    conda_dependencies = pytest.importorskip("azureml.core.conda_dependencies").CondaDependencies
    environment_class = pytest.importorskip("azureml.core").Environment
    environment = environment_class("tutorial-env")
    environment.python.conda_dependencies = conda_dependencies.create(
        conda_packages=["scikit-learn=1.5", "numpy"],
        pip_packages=["azureml-core", "joblib==1.4.2"],
        python_version="3.10",
    )
    definition = environment_class._serialize_to_dict(environment)
    lines = next(
        item["pip"] for item in definition["python"]["condaDependencies"]["dependencies"] if isinstance(item, dict)
    )
    added = [line for line in lines if line.startswith("-")]
    if not added:
        pytest.skip("this release of the SDK adds none")
    assert len(added) == 2
    packages = read_packages(definition["python"]["condaDependencies"])
    assert packages.python == SpecifierSet("==3.10.*")
    assert packages.requirements == ["azureml-core", "joblib==1.4.2", "numpy", "scikit-learn==1.5.*"]
    assert packages.options == []
    assert [note for note in packages.notes if "old name of the public index" in note] == packages.notes[:2]
