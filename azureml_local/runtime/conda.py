"""Parser of an Environment's conda dependencies to what uv can install: a Python version, PyPI requirements,
index options.

Conda's own grammar is CEP 29's MatchSpec; the subset here is what `environment.yml` files use: ``name``,
``name=1.2``, ``name==1.2.3``, ``name>=1,<2``, ``name 1.2.*``, a build string behind a second ``=``, a channel
in front of ``::``. The rest is refused by name, because an environment that differs from the one asked for is
worse than none.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from azureml_local.runtime.conda_names import PYPI_NAMES, brought_along, no_counterpart


class EnvironmentBuildError(Exception):
    """An environment cannot be built. Its text is one clear sentence for the run's error."""


@dataclass
class PackageList:
    """What to install.

    `python` is the version asked for (empty: any), `requirements` are PEP 508 lines (or a bare URL),
    `options` are pip's index options as ``--name value`` lines (they can hold a password), `notes` are
    sentences for the build log about whatever was read differently from how it was written.
    """

    python: SpecifierSet = field(default_factory=SpecifierSet)
    requirements: list[str] = field(default_factory=list)
    options: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def named(self, prefix: str) -> list[Requirement]:
        """The requirements whose name (PEP 503 normal form) starts with `prefix`."""
        named = [Requirement(line) for line in self.requirements if not _BARE_URL.fullmatch(line)]
        return [one for one in named if canonicalize_name(one.name).startswith(prefix)]


def read_packages(conda: Mapping[str, Any]) -> PackageList:
    """The packages of a conda file given as JSON: ``{"dependencies": ["python=3.10", {"pip": [...]}, ...]}``.

    Raises EnvironmentBuildError for whatever has no exact meaning outside conda.
    """
    packages = PackageList()
    dependencies = conda.get("dependencies") or []
    if not isinstance(dependencies, list):
        raise EnvironmentBuildError(
            "The Environment's conda dependencies are not a list; define them with CondaDependencies."
        )
    builds: list[str] = []
    for item in dependencies:
        if isinstance(item, str):
            _read_conda(item, packages, builds)
        elif isinstance(item, Mapping) and set(item) == {"pip"}:
            for line in _pip_lines(item["pip"]):
                _read_pip(line, packages)
        else:
            raise EnvironmentBuildError(
                f"The Environment lists {_shown(item)} among its conda dependencies; only package names and "
                "one 'pip' list can stand there."
            )
    if builds:
        packages.notes.append(f"Conda build strings have no counterpart on PyPI and are left out: {', '.join(builds)}.")
    packages.requirements = sorted(set(packages.requirements), key=lambda line: (line.lower(), line))
    packages.options = list(dict.fromkeys(packages.options))
    return packages


# --- conda

_CONDA_SPEC = re.compile(r"(?:(?P<channel>[\w./:+-]+)::)?(?P<name>[A-Za-z0-9_][\w.-]*)(?P<rest>(?:[\s=<>!~].*)?)")
_BUILD = re.compile(r"(?P<version>={0,2}[^=<>!~,|\s]+)(?:=|\s+)(?P<build>[^=<>!~,|\s]+)")
_CLAUSE = re.compile(r"(?P<operator>==|>=|<=|!=|~=|=|>|<|)\s*(?P<version>[^\s=<>!~,|]+)")
_INSTALLERS = ("pip", "wheel")


def _read_conda(spec: str, packages: PackageList, builds: list[str]) -> None:
    """Adds one conda dependency to `packages`, and to `builds` its name and build string where it has one."""
    match = _CONDA_SPEC.fullmatch(spec.strip())
    if match is None or not spec.isprintable():
        raise EnvironmentBuildError(
            f"The conda dependency {_shown(spec)} is not understood; write it as name, name=1.2 or "
            "name>=1,<2 (brackets and selectors work in conda only)."
        )
    written, rest = match["name"], match["rest"].strip()
    name = canonicalize_name(written)
    advice = no_counterpart(name)
    if advice is not None:
        raise EnvironmentBuildError(
            f"The conda package {written} has no counterpart on PyPI, where packages come from here: {advice}."
        )
    rest = re.sub(r" ?([<>=!~,|]) ?", r"\1", " ".join(rest.split()))
    build = _BUILD.fullmatch(rest)
    if build is not None:
        rest = build["version"]
        if build["build"] != "*" and not brought_along(name):
            builds.append(f"{written}={build['build']}")
    if brought_along(name):
        packages.notes.append(f"{written} is left out: the Python packages bring it along.")
        return
    specifiers = _specifiers(rest, spec)
    if name == "python":
        packages.python &= specifiers
    elif name in _INSTALLERS:
        if specifiers:
            packages.notes.append(
                f"{written}{rest} is read as {written} of any version: uv installs the packages here."
            )
    else:
        pypi = PYPI_NAMES.get(name, written)
        if canonicalize_name(pypi) != name:
            packages.notes.append(f"{written} is {pypi} on PyPI.")
        packages.requirements.append(f"{pypi}{specifiers}")


def _specifiers(text: str, spec: str) -> SpecifierSet:
    """Conda's version constraint in PEP 440's form: ``=1.26`` (any 1.26) is ``==1.26.*``; ``*`` and nothing
    are any version."""
    if text in ("", "*", "=*", "==*"):
        return SpecifierSet()
    if "|" in text:
        raise EnvironmentBuildError(
            f"The conda dependency {_shown(spec)} has alternatives (|), which PyPI does not know; choose one of them."
        )
    clauses = []
    for part in text.split(","):
        match = _CLAUSE.fullmatch(part)
        if match is None:
            raise EnvironmentBuildError(f"The version in the conda dependency {_shown(spec)} is not understood.")
        clauses.append(_clause(match["operator"], match["version"], spec))
    try:
        return SpecifierSet(",".join(clauses))
    except InvalidSpecifier as error:
        raise EnvironmentBuildError(
            f"The version in the conda dependency {_shown(spec)} has no counterpart on PyPI."
        ) from error


def _clause(operator: str, version: str, spec: str) -> str:
    """One clause of conda's constraint as a PEP 440 clause."""
    stem = version.removesuffix("*").removesuffix(".")
    try:
        parsed = Version(stem)
    except InvalidVersion as error:
        raise EnvironmentBuildError(
            f"The version {version} in the conda dependency {_shown(spec)} is not one that PyPI knows."
        ) from error
    whole = parsed.is_prerelease or parsed.is_postrelease or parsed.local is not None
    if operator in ("=", "==", "") and not whole and (operator == "=" or stem != version):
        return f"=={stem}.*"
    if operator == "!=" and stem != version:
        return f"!={stem}.*"
    return f"{'==' if operator in ('', '=') else operator}{stem}"


# --- pip

_BARE_URL = re.compile(r"(?:https?|git\+https?|git\+ssh)://[^\s\\]+")
_OPTION = re.compile(r"(?P<name>--?[A-Za-z][A-Za-z-]*)(?:(?:\s*=\s*|\s+)(?P<value>\S+))?")
_LONG = {"-i": "--index-url", "-f": "--find-links"}
_URL_OPTIONS = ("--index-url", "--extra-index-url", "--find-links")
_NAME_OPTIONS = ("--no-binary", "--only-binary", "--trusted-host")
_FLAGS = ("--pre", "--no-index")
_NEEDLESS = ("--prefer-binary", "--upgrade", "-U", "--no-cache-dir", "--quiet", "-q")


def _pip_lines(value: object) -> Iterator[str]:
    """The lines of the pip section, without comments and empty ones."""
    if value is None:
        return
    if not isinstance(value, list) or not all(isinstance(line, str) for line in value):
        raise EnvironmentBuildError("The Environment's 'pip' section is not a list of requirement lines.")
    for line in value:
        if not line.strip().isprintable():  # a line break would smuggle an option into the file for uv
            raise EnvironmentBuildError(
                f"The pip requirement {_shown(line)} has a line break or control character in it; give one line each."
            )
        text = re.sub(r"(^|\s)#.*$", "", line).strip()
        if text:
            yield text


def _read_pip(line: str, packages: PackageList) -> None:
    """Adds one line of the pip section to `packages`."""
    if line.startswith("-"):
        _read_option(line, packages)
        return
    if re.match(r"[.~/\\]|file:|[A-Za-z]:\\", line) or re.fullmatch(r"[\w./+-]+\.(whl|zip|tar\.gz)", line):
        raise EnvironmentBuildError(_local(line))
    try:
        requirement = Requirement(line)
    except InvalidRequirement as error:
        if _BARE_URL.fullmatch(line):
            packages.requirements.append(line)
            return
        reason = str(error).splitlines()[0].rstrip(".")
        raise EnvironmentBuildError(f"The pip requirement {_shown(line)} is not valid: {reason}.") from error
    if requirement.url is not None and not _BARE_URL.fullmatch(requirement.url):
        raise EnvironmentBuildError(_local(line))
    packages.requirements.append(str(requirement))


def _local(line: str) -> str:
    return (
        f"The pip requirement {_shown(line)} is a path, and an Environment carries no files; publish the "
        "package on an index or name it by an https or git+https URL (its modules can also travel in the run's "
        "source directory)."
    )


def _read_option(line: str, packages: PackageList) -> None:
    """Adds one option line of the pip section to `packages`; an option that says what to install from where,
    or nothing."""
    match = _OPTION.fullmatch(line)
    name = _LONG.get(match["name"], match["name"]) if match else line.split()[0]
    value = match["value"] if match else None
    if name in _FLAGS and match and value is None:
        packages.options.append(name)
    elif name in _URL_OPTIONS and value:
        _read_url_option(name, value, packages)
    elif name in _NAME_OPTIONS and value and re.fullmatch(r":(all|none):|\w[\w.,:-]*", value):
        packages.options.append(f"{name} {value}")
    elif name in _NEEDLESS and match and value is None:
        packages.notes.append(f"The pip option {name} is left out: it changes nothing here.")
    elif name in ("-r", "--requirement", "-c", "--constraint", "-e", "--editable"):
        raise EnvironmentBuildError(
            f"The pip line {_shown(line)} points to a file or folder, and an Environment carries none; list "
            "the packages themselves (Environment.from_pip_requirements reads a requirements file)."
        )
    else:
        supported = ", ".join((*_URL_OPTIONS, *_NAME_OPTIONS, *_FLAGS))
        raise EnvironmentBuildError(f"The pip option {_shown(line)} is not supported; supported are {supported}.")


def _read_url_option(name: str, value: str, packages: PackageList) -> None:
    """Adds an index or a page of links, unless it is the public index under an old name.

    `CondaDependencies.create` adds two such lines by itself: ``--find-links`` with the front page of the
    public index under its old name in python.org, and ``--extra-index-url`` with that index. The first lists
    no files, and the second is what uv uses anyway.
    """
    url = urlsplit(value)
    if url.scheme not in ("http", "https") or not url.hostname or "\\" in value:
        path = name == "--find-links" and re.fullmatch(r"(file://)?/[^\s\\]+", value)
        if not path:
            raise EnvironmentBuildError(f"The pip option {_shown(f'{name} {value}')} needs an http or https URL.")
    front_page = url.path.rstrip("/").removesuffix("/index.html") == "/simple"
    if front_page and (url.hostname or "").endswith(".python.org"):
        packages.notes.append(
            f"{name} {value} is left out: it is an old name of the public index, which is used anyway."
        )
        return
    packages.options.append(f"{name} {value}")
    packages.notes.append(f"{name} {value} is passed on to uv.")


# --- words


def without_secrets(text: str) -> str:
    """`text` with the user information and the signatures of its URLs hidden, fit for a log."""
    text = re.sub(r"://[^/\s]*@", "://***@", text)
    return re.sub(r"(?i)([?&](?:sig|token|access_token|password|key)=)[^&\s'\"`]+", r"\1***", text)


def _shown(value: object) -> str:
    """`value` quoted for an error's sentence: on one line, without secrets, not endless."""
    text = without_secrets(str(value) if isinstance(value, str) else repr(value))
    text = text.encode("unicode_escape").decode() if not text.isprintable() else text
    return f"'{text[:120]}…'" if len(text) > 120 else f"'{text}'"
