"""Every command of ampctl, with its aliases and flags, as somebody types it; and those of the reference system.

A new command, alias or flag needs a step here: a test compares them with ampctl.
"""

from __future__ import annotations

from dataclasses import dataclass

from ampctl_job_story import JOB_STORY
from ampctl_steps import Step
from ampctl_stories import OTHER_STORIES

# That of jobs is the last one: it removes jobs that others look at.
STORIES: dict[str, list[Step]] = {**OTHER_STORIES, "job": JOB_STORY}

# What stands for something in a line, and what is in its place when that shall not exist.
NOWHERE = {
    **dict.fromkeys(
        (
            "job",
            "second",
            "once",
            "done",
            "revision",
            "file",
            "first",
            "third",
            "own_revision",
            "token",
            "webhook",
            "delivery",
        ),
        str(2**50),
    ),
    **dict.fromkeys(("hash", "other_hash", "mainnet_hash"), "0" * 64),
    **dict.fromkeys(("mainnet", "mainnet_name", "own_name"), "nowhere/nothing"),
    "dataset_of_nobody": "nowhere/nothing",
    "worker": "nobody",
    "provider": "nobody",
    "provider_of_nobody": "nobody",
}
# Commands that succeed when there is nothing: what they shall bring about is so already.
CONTENT_WITH_NOTHING = {
    *("job rm", "dataset rm", "manifest rm", "provider rm", "token revoke", "webhook rm"),
    *("job list", "job stats", "table list", "events tail"),
}

# What control-plane.md section 6 has: the names of each command, and its flags.
_REFERENCE = """
manifest(s) generate --kind --network -o/--out --start-block --finalized-blocks-only
manifest(s) register
manifest(s) list/ls
manifest(s) inspect/get
manifest(s) rm/remove
manifest(s) prune
provider(s) register
provider(s) list/ls
provider(s) inspect/get
provider(s) rm/remove
job(s) list/ls -l/--limit -a/--after -s/--status
job(s) inspect/get
job(s) progress
job(s) events --event-id
job(s) stop
job(s) rm/remove
job(s) prune -s/--status
dataset(s) deploy/dep --end-block --parallelism --worker-id --verify
dataset(s) register/reg -t/--tag
dataset(s) list/ls
dataset(s) inspect/get
dataset(s) versions
dataset(s) manifest
dataset(s) restore --table --location-id
table(s) list/ls -a/--active -l/--limit
table(s) get
table(s) register
table(s) activate
table(s) deactivate
table(s) restore
table(s) delete/rm -f
table(s) truncate -f --concurrency
table(s) prune --before-block --gc-delay -f
worker(s) list/ls
worker(s) inspect/get
verify --dataset --start-block --end-block
"""
# Its `verify` reads rows over a query server, and compares them with a node; ours reads the files, and needs neither:
# it has no --amp-url, --amp-auth, --rpc-url, and runs on workers instead of --parallelism.


@dataclass(frozen=True)
class Reference:
    """A command of the reference system: all ways to call it, and its flags."""

    calls: tuple[str, ...]
    flags: tuple[str, ...]


def reference_commands() -> list[Reference]:
    """Return the commands of the reference system."""
    return [_reference(*line.split()) for line in _REFERENCE.strip().splitlines()]


def _reference(noun: str, *words: str) -> Reference:
    nouns = (noun.removesuffix("(s)"), noun.replace("(s)", "s")) if noun.endswith("(s)") else (noun,)
    verbs = words[0].split("/") if words and not words[0].startswith("-") else [""]
    flags = tuple(name for word in words if word.startswith("-") for name in word.split("/"))
    return Reference(tuple(f"{noun} {verb}".strip() for noun in nouns for verb in verbs), flags)
