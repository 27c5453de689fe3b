"""Names, references and versions: what is accepted, what is refused, and what the refusal says."""

from __future__ import annotations

from itertools import pairwise

import pytest

from ampd.datasets import DatasetName, Reference, SemanticVersion
from ampd.datasets.names import parse_hash, parse_provider_name, parse_version
from ampd.errors import AmpError, ErrorCode

HASH = "0123456789abcdef" * 4


@pytest.mark.parametrize(
    ("text", "revision"),
    [
        ("eth/mainnet@latest", "latest"),
        ("eth/mainnet@dev", "dev"),
        ("eth/mainnet@1.10.0-rc.1+build.5", "1.10.0-rc.1+build.5"),
        (f"eth/mainnet@{HASH}", HASH),
        (f"eth/mainnet@{HASH.upper()}", HASH),
        ("pkg:amp/eth/mainnet@1.0.0", "1.0.0"),
    ],
)
def test_every_form_of_a_reference_is_read(text: str, revision: str) -> None:
    reference = Reference.parse(text)
    assert (reference.namespace, reference.name, reference.revision) == ("eth", "mainnet", revision)
    assert reference.is_hash == (len(revision) == 64)
    assert str(reference.dataset) == "eth/mainnet"


def test_a_missing_revision_is_filled_in_only_when_told() -> None:
    assert Reference.parse("_/a", default_revision="latest") == Reference("_", "a", "latest")
    assert Reference.parse("_/a@dev", default_revision="latest").revision == "dev"
    with pytest.raises(AmpError, match="there is no '@' with a revision"):
        Reference.parse("_/a")
    with pytest.raises(AmpError, match="the revision after '@' is empty"):
        Reference.parse("_/a@", default_revision="latest")


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "no '/'"),
        ("mainnet@1.0.0", "no '/'"),
        ("/mainnet@1.0.0", "namespace is empty"),
        ("eth/@1.0.0", "name is empty"),
        ("Eth/mainnet@1.0.0", "namespace 'Eth' has other characters"),
        ("eth-1/mainnet@1.0.0", "namespace 'eth-1' has other characters"),
        ("eth\u0663/mainnet@1.0.0", "has other characters"),  # an Arabic digit: a digit to Unicode, not to us
        ("eth/ma\u00b2@1.0.0", "has other characters"),
        ("eth/1inch@1.0.0", "begins with a digit"),
        ("eth/a/b@1.0.0", "name 'a/b' has other characters"),
        ("eth/mainnet@1.0.0\n", "revision"),
        ("eth/mainnet\n@1.0.0", "has other characters"),
        (" eth/mainnet@1.0.0", "has other characters"),
        ("eth/mainnet@LATEST", "neither a semantic version"),
        ("eth/mainnet@1.0", "neither a semantic version"),
        ("eth/mainnet@v1.0.0", "neither a semantic version"),
        (f"eth/mainnet@{HASH[1:]}", "neither a semantic version"),
        ("eth/mainnet@1.0.0@dev", "neither a semantic version"),
        (f"eth/{'a' * 256}@dev", "longer than 255"),
    ],
)
def test_a_wrong_reference_is_refused_with_its_text_its_fault_and_a_right_one(text: str, fault: str) -> None:
    with pytest.raises(AmpError) as caught:
        Reference.parse(text)
    assert caught.value.code == ErrorCode.INVALID_REFERENCE
    assert repr(text[:100])[:-1] in caught.value.message
    assert fault in caught.value.message
    assert "ethereum/mainnet@1.0.0" in caught.value.message


def test_names_are_checked_also_without_parsing() -> None:
    with pytest.raises(AmpError, match="begins with a digit"):
        DatasetName("eth", "1a")
    with pytest.raises(AmpError, match="neither a semantic version"):
        Reference("eth", "a", "newest")
    assert DatasetName.parse("0x/_1") == DatasetName("0x", "_1")
    with pytest.raises(AmpError, match="A valid one: ethereum/mainnet"):
        DatasetName.parse("mainnet")


def test_versions_are_ordered_by_precedence_and_not_as_text() -> None:
    # Section 11 of semver 2.0.0, and the step from one digit to two.
    ascending = [
        "1.0.0-0",
        "1.0.0-9",
        "1.0.0-10",
        "1.0.0-alpha",
        "1.0.0-alpha.1",
        "1.0.0-alpha.beta",
        "1.0.0-beta",
        "1.0.0-beta.2",
        "1.0.0-beta.11",
        "1.0.0-rc.1",
        "1.0.0",
        "1.9.0",
        "1.10.0-rc",
        "1.10.0",
        "2.0.0",
        "10.0.0",
    ]
    versions = [parse_version(text) for text in ascending]
    assert all(lower < higher for lower, higher in pairwise(versions))
    shuffled = versions[1::2] + versions[::2]
    assert [str(version) for version in sorted(shuffled)] == ascending


def test_build_metadata_does_not_count_in_precedence() -> None:
    one, two = parse_version("1.0.0+a"), parse_version("1.0.0+b")
    assert one == two
    assert not one < two
    assert (one.text, two.text) == ("1.0.0+a", "1.0.0+b")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "1",
        "1.0",
        "01.0.0",
        "1.0.0-",
        "1.0.0-01",
        "1.0.0-a..b",
        "1.0.0+",
        "1.0.0+a+b",
        "1.0.0 ",
        "-1.0.0",
        "1.0.0-é",
    ],
)
def test_what_is_no_semantic_version_is_not_read_as_one(text: str) -> None:
    assert SemanticVersion.parse(text) is None


def test_a_version_of_absurd_length_is_refused() -> None:
    assert SemanticVersion.parse("9" * 5000 + ".0.0") is None


def test_special_tags_cannot_be_given_as_a_version() -> None:
    with pytest.raises(AmpError, match="'latest': it is set by ampd itself"):
        parse_version("latest")


def test_a_hash_is_read_in_either_case_and_kept_in_lower_case() -> None:
    assert parse_hash(HASH.upper()) == HASH
    with pytest.raises(AmpError) as caught:
        parse_hash(HASH[:-1] + "g")
    assert caught.value.code == ErrorCode.INVALID_HASH


@pytest.mark.parametrize("text", ["", "1a", "My-Node", "a.b", "../a", "é"])
def test_a_wrong_provider_name_is_refused(text: str) -> None:
    with pytest.raises(AmpError) as caught:
        parse_provider_name(text)
    assert caught.value.code == ErrorCode.INVALID_PROVIDER_NAME
    assert "mainnet_rpc" in caught.value.message
