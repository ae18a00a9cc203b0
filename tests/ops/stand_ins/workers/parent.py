"""Stands in for a label worker: says what it was started with."""

import os
import signal
import sys

print("worker of", sys.argv[1:], "sees", os.environ.get("CUDA_VISIBLE_DEVICES"), flush=True)
while True:
    signal.pause()
