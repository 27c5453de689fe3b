"""What the specification says of texts, and what is said where they are read, must be the same."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from pydantic import ValidationError

from ampd.access import NewToken, Role
from ampd.admin_api.bodies import shapes
from ampd.admin_api.bodies.job_requests import JobListQuery, ReasonRequest
from ampd.admin_api.bodies.requests import DeployRequest, checked_selector
from ampd.admin_api.filters import job_filter
from ampd.datasets import DatasetName, Reference
from ampd.datasets.names import parse_hash, parse_provider_name, parse_version
from ampd.errors import AmpError
from ampd.jobs import parse_states, validate_node_id

LONG = 255 * "a"

# The shape, what reads such texts, texts that are right, and texts that are wrong.
SHAPES: dict[str, tuple[dict[str, Any], Callable[[str], Any], list[str], list[str]]] = {
    "namespace": (
        shapes.NAMESPACE,
        lambda text: NewToken(Role.VIEWER, None, (text,)),
        ["ethereum", "0_x", LONG],
        ["", "A", "a-b", "a ", LONG + "a"],
    ),
    "name": (shapes.NAME, lambda text: DatasetName("x", text), ["mainnet", "_0", LONG], ["", "0a", "a.b", LONG + "a"]),
    "provider": (shapes.PROVIDER_NAME, parse_provider_name, ["a_1", 250 * "a"], ["", "1a", "a/b", 251 * "a"]),
    "hash": (shapes.MANIFEST_HASH, parse_hash, [64 * "a", 64 * "F"], ["", 63 * "a", 64 * "g", 65 * "a"]),
    "version": (shapes.VERSION, parse_version, ["1.0.0", "1.1.0-rc.1+b"], ["", "1.0", "01.0.0", "latest", 64 * "a"]),
    "revision": (
        shapes.REVISION,
        lambda text: Reference("a", "b", text),
        ["latest", "dev", 64 * "0", "10.0.1"],
        ["", "Latest", "1", "1.0.0 "],
    ),
    "dataset": (
        shapes.DATASET,
        DatasetName.parse,
        ["a/b", "pkg:amp/a/b", f"{LONG}/{LONG}"],
        ["", "/", "a", "a/", "a/b/c", "a/b@1.0.0", f"a/{LONG}a"],
    ),
    "reference": (
        shapes.REFERENCE,
        lambda text: Reference.parse(text, default_revision="latest"),
        ["a/b", "a/b@dev", "pkg:amp/a/b@1.0.0", f"a/b@{64 * 'e'}"],
        ["", "a/b@", "a@dev", "a/b@x"],
    ),
    "worker": (shapes.NODE_ID, validate_node_id, ["w", "worker-01.x_y"], ["", "1w", "w w", "w*"]),
    "selector": (shapes.WORKER_SELECTOR, checked_selector, ["w", "eth-*"], ["", "*", "w**", "1*"]),
    "statuses": (
        shapes.STATUSES,
        parse_states,
        ["active", "FAILED", "running, paused", "all"],
        ["", "nothing", "active,", "active;all"],
    ),
    "label": (
        shapes.LABEL,
        lambda text: job_filter(JobListQuery(label=[text])),
        ["a=b", "a=", "a==b\n"],
        ["", "=", "=b", "a"],
    ),
    "reason": (shapes.REASON, lambda text: ReasonRequest(reason=text), ["x", " x\n"], ["", " ", "\t\n", "\x1c"]),
}
CASES = [(name, text, True) for name, (_, _, right, _) in SHAPES.items() for text in right] + [
    (name, text, False) for name, (_, _, _, wrong) in SHAPES.items() for text in wrong
]


@pytest.mark.parametrize(("name", "text", "is_right"), CASES)
def test_a_text_is_taken_when_the_specification_says_so(name: str, text: str, is_right: bool) -> None:
    shape, read, _, _ = SHAPES[name]
    fits = re.search(shape["pattern"], text) is not None and len(text) <= shape.get("maxLength", len(text))
    assert fits is is_right
    assert _is_taken(read, text) is is_right


def _is_taken(read: Callable[[str], Any], text: str) -> bool:
    try:
        read(text)
    except (AmpError, ValidationError, ValueError):
        return False
    return True


@pytest.mark.parametrize(
    "shape", [each for each in vars(shapes).values() if isinstance(each, dict) and "examples" in each]
)
def test_examples_have_the_shape_that_they_are_an_example_of(shape: dict[str, Any]) -> None:
    for example in shape["examples"]:
        assert re.search(shape["pattern"], example)


def test_whole_numbers_are_integers_however_they_are_written() -> None:
    request = DeployRequest.model_validate({"parallelism": 4.0, "end_block": 100.0, "depends_on": [7.0]})
    assert (request.parallelism, request.end_block, request.depends_on) == (4, "100", [7])
    for wrong in (4.5, True, "4"):
        with pytest.raises(ValidationError):
            DeployRequest.model_validate({"parallelism": wrong})
