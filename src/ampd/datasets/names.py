"""Names of datasets, references to their revisions, and names of providers."""

from __future__ import annotations

import re
from dataclasses import dataclass

from ampd.datasets.semver import SemanticVersion
from ampd.errors import AmpError, ErrorCode

LATEST = "latest"
DEV = "dev"
SPECIAL_TAGS = (LATEST, DEV)
# Each name is a directory in the lake, and file systems allow 255 bytes.
MAX_NAME_LENGTH = 255
# A provider's is that of a file, with .toml behind it.
MAX_PROVIDER_NAME_LENGTH = 250
EXAMPLE_NAME = "ethereum/mainnet"
EXAMPLE = f"{EXAMPLE_NAME}@1.0.0"

_PURL_PREFIX = "pkg:amp/"
NAMESPACE_PATTERN = rf"[a-z0-9_]{{1,{MAX_NAME_LENGTH}}}"
NAME_PATTERN = rf"[a-z_][a-z0-9_]{{0,{MAX_NAME_LENGTH - 1}}}"
PROVIDER_NAME_PATTERN = rf"[a-z_][a-z0-9_]{{0,{MAX_PROVIDER_NAME_LENGTH - 1}}}"
HASH_PATTERN = r"[0-9a-fA-F]{64}"
_NAMESPACE = re.compile(NAMESPACE_PATTERN)
_NAME = re.compile(NAME_PATTERN)
_HASH = re.compile(HASH_PATTERN)


@dataclass(frozen=True)
class DatasetName:
    """A dataset: ``namespace/name``.

    Namespaces are made of ``a-z``, ``0-9`` and ``_``; names too, and do not begin with a digit.
    """

    namespace: str
    name: str

    def __post_init__(self) -> None:
        fault = _fault_of_names(self.namespace, self.name)
        if fault:
            raise _invalid("dataset name", f"{self.namespace}/{self.name}", fault, EXAMPLE_NAME)

    @classmethod
    def parse(cls, text: str) -> DatasetName:
        """Read ``namespace/name``, with or without ``pkg:amp/`` before it.

        :raises AmpError: INVALID_REFERENCE.
        """
        namespace, slash, name = text.removeprefix(_PURL_PREFIX).partition("/")
        if not slash:
            raise _invalid("dataset name", text, "there is no '/' between namespace and name", EXAMPLE_NAME)
        fault = _fault_of_names(namespace, name)
        if fault:
            raise _invalid("dataset name", text, fault, EXAMPLE_NAME)
        return cls(namespace, name)

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


@dataclass(frozen=True)
class Reference:
    """One revision of a dataset: ``namespace/name@revision``.

    A revision is ``latest``, ``dev``, a manifest hash (64 hexadecimal digits, kept in lower case) or a semantic
    version.
    """

    namespace: str
    name: str
    revision: str

    def __post_init__(self) -> None:
        text = f"{self.namespace}/{self.name}@{self.revision}"
        fault = _fault_of_names(self.namespace, self.name) or _fault_of_revision(self.revision)
        if fault:
            raise _invalid("dataset reference", text, fault, EXAMPLE)
        if is_hash(self.revision):
            object.__setattr__(self, "revision", self.revision.lower())

    @classmethod
    def parse(cls, text: str, *, default_revision: str | None = None) -> Reference:
        """Read ``[pkg:amp/]namespace/name@revision``.

        ``default_revision`` stands in when there is no ``@``; without it a reference must have a revision.

        :raises AmpError: INVALID_REFERENCE.
        """
        names, at, revision = text.removeprefix(_PURL_PREFIX).partition("@")
        namespace, slash, name = names.partition("/")
        fault = None
        if not slash:
            fault = "there is no '/' between namespace and name"
        elif not at and default_revision is None:
            fault = "there is no '@' with a revision"
        else:
            revision = revision if at else default_revision or ""
            fault = _fault_of_names(namespace, name) or _fault_of_revision(revision)
        if fault:
            raise _invalid("dataset reference", text, fault, EXAMPLE)
        return cls(namespace, name, revision)

    @property
    def dataset(self) -> DatasetName:
        """The dataset without the revision."""
        return DatasetName(self.namespace, self.name)

    @property
    def is_hash(self) -> bool:
        """Whether the revision is a manifest hash."""
        return is_hash(self.revision)

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}@{self.revision}"


def is_hash(text: str) -> bool:
    """Return whether ``text`` has the form of a manifest hash (either case)."""
    return _HASH.fullmatch(text) is not None


def parse_hash(text: str) -> str:
    """Return the manifest hash ``text`` in lower case.

    :raises AmpError: INVALID_HASH.
    """
    if not is_hash(text):
        raise AmpError(
            ErrorCode.INVALID_HASH,
            f"invalid manifest hash {shown(text)}: it has {len(text)} characters, or others than 0-9 and a-f. "
            "A manifest hash is 64 hexadecimal digits; 'ampctl dataset inspect NAMESPACE/NAME@REVISION' shows one",
        )
    return text.lower()


def parse_version(text: str) -> SemanticVersion:
    """Return the semantic version that ``text`` writes.

    :raises AmpError: INVALID_REFERENCE.
    """
    version = SemanticVersion.parse(text)
    if version is None:
        fault = "it is set by ampd itself" if text in SPECIAL_TAGS else "it is not a semantic version"
        raise _invalid("version", text, fault, "1.0.0 or 1.1.0-rc.1")
    return version


def parse_provider_name(text: str) -> str:
    """Return ``text`` when it can name a provider (``a-z``, ``0-9``, ``_``; no digit first).

    :raises AmpError: INVALID_PROVIDER_NAME.
    """
    fault = _fault_of_name("the name", text, MAX_PROVIDER_NAME_LENGTH)
    if fault:
        raise AmpError(
            ErrorCode.INVALID_PROVIDER_NAME,
            f"invalid provider name {shown(text)}: {fault}. A valid one: mainnet_rpc",
        )
    return text


def shown(text: str) -> str:
    """Return ``text`` in quotes, short enough for a message and without control characters."""
    return repr(text if len(text) <= 100 else f"{text[:100]}…")


def _fault_of_names(namespace: str, name: str) -> str | None:
    if not namespace:
        return "the namespace is empty"
    if len(namespace) > MAX_NAME_LENGTH:
        return f"the namespace is longer than {MAX_NAME_LENGTH} characters"
    if not _NAMESPACE.fullmatch(namespace):
        return f"the namespace {shown(namespace)} has other characters than a-z, 0-9 and _"
    return _fault_of_name("the name", name)


def _fault_of_name(what: str, name: str, longest: int = MAX_NAME_LENGTH) -> str | None:
    if not name:
        return f"{what} is empty"
    if len(name) > longest:
        return f"{what} is longer than {longest} characters"
    if "0" <= name[0] <= "9":
        return f"{what} {shown(name)} begins with a digit"
    if not _NAME.fullmatch(name):
        return f"{what} {shown(name)} has other characters than a-z, 0-9 and _"
    return None


def _fault_of_revision(revision: str) -> str | None:
    if revision in SPECIAL_TAGS or is_hash(revision) or SemanticVersion.parse(revision):
        return None
    if not revision:
        return "the revision after '@' is empty"
    return (
        f"the revision {shown(revision)} is neither a semantic version, nor '{LATEST}' or '{DEV}', "
        "nor a manifest hash of 64 hexadecimal digits"
    )


def _invalid(what: str, text: str, fault: str, example: str) -> AmpError:
    return AmpError(ErrorCode.INVALID_REFERENCE, f"invalid {what} {shown(text)}: {fault}. A valid one: {example}")
