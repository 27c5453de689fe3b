"""What is written can be read again: references, versions, and provider settings as TOML."""

from __future__ import annotations

import tomllib

from hypothesis import given
from hypothesis import strategies as st

from ampd.datasets import Reference, SemanticVersion
from ampd.datasets.toml_text import to_toml
from ampd.errors import AmpError

NAMESPACES = st.from_regex(r"[a-z0-9_]{1,20}", fullmatch=True)
NAMES = st.from_regex(r"[a-z_][a-z0-9_]{0,20}", fullmatch=True)
NUMBERS = st.integers(0, 10**25).map(str)
WORDS = st.from_regex(r"[0-9]{0,3}[a-zA-Z-][0-9a-zA-Z-]{0,5}", fullmatch=True)
PARTS = st.one_of(NUMBERS, WORDS)


@st.composite
def versions(draw: st.DrawFn) -> str:
    text = ".".join(draw(st.tuples(NUMBERS, NUMBERS, NUMBERS)))
    prerelease = draw(st.lists(PARTS, max_size=4))
    build = draw(st.lists(st.from_regex(r"[0-9a-zA-Z-]{1,5}", fullmatch=True), max_size=3))
    return text + (f"-{'.'.join(prerelease)}" if prerelease else "") + (f"+{'.'.join(build)}" if build else "")


HASHES = st.from_regex(r"[0-9a-fA-F]{64}", fullmatch=True)
REVISIONS = st.one_of(st.sampled_from(["latest", "dev"]), HASHES, versions())
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
SCALARS = st.one_of(st.booleans(), st.integers(-(2**63), 2**63 - 1), st.floats(allow_nan=False), TEXTS)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(TEXTS, inner, max_size=4)),
    max_leaves=8,
)


@given(NAMESPACES, NAMES, REVISIONS, st.sampled_from(["", "pkg:amp/"]))
def test_a_reference_survives_writing_and_reading(namespace: str, name: str, revision: str, prefix: str) -> None:
    reference = Reference.parse(f"{prefix}{namespace}/{name}@{revision}")
    assert (reference.namespace, reference.name) == (namespace, name)
    assert reference.revision == (revision.lower() if reference.is_hash else revision)
    assert Reference.parse(str(reference)) == reference


@given(st.text(max_size=40))
def test_any_text_is_either_a_reference_or_refused_in_our_own_words(text: str) -> None:
    try:
        reference = Reference.parse(text, default_revision="latest")
    except AmpError as error:
        assert "A valid one" in error.message
    else:
        assert Reference.parse(str(reference)) == reference


@given(versions(), versions(), versions())
def test_precedence_is_an_order(one: str, two: str, three: str) -> None:
    first, second, third = sorted(map(_version, (one, two, three)))
    assert not second < first
    assert not third < first
    assert (first < second) or (first == second)


@given(versions())
def test_a_release_stands_above_its_prereleases_and_below_the_next_patch(text: str) -> None:
    version = _version(text)
    major, minor, patch = version.precedence[:3]
    assert version <= _version(f"{major}.{minor}.{patch}") < _version(f"{major}.{minor}.{patch + 1}-0")


@given(st.dictionaries(TEXTS, VALUES, max_size=5))
def test_values_survive_toml(content: dict[str, object]) -> None:
    assert tomllib.loads(to_toml(content)) == content


def _version(text: str) -> SemanticVersion:
    version = SemanticVersion.parse(text)
    assert version is not None
    return version
