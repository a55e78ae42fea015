"""What the random sequences have in common (integration/test_random_sync.py, apiserver/test_random_nodes.py): RANDOM_SEED repeats one, RANDOM_RUNS
sets how many there are, RANDOM_STEPS how long each is (make random-sync)."""

import os
import random

FLAGS = ("--enable-secret-rotation=true", "--rotation-poll-interval=1s", "--secret-sync-check-interval=2s")
FIRST = int(os.environ.get("RANDOM_SEED", random.SystemRandom().randrange(1 << 32)))
CLASSES = {"first": "one", "second": "two"}  # each has a Secret of its own
FILES = ("file", "other", "third")


def runs(default):
    return int(os.environ.get("RANDOM_RUNS", default))


def steps(default):
    return int(os.environ.get("RANDOM_STEPS", default))
