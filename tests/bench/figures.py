#!/usr/bin/env python3
"""figures.py WHAT FILE: one figure a line out of JSON lines that a program printed; for the scripts of this folder.

rates      images/s of the training steps of every epoch       (train --json)
accuracy   test accuracy after the last epoch, percent         (train --json, eval --json)
flop       of one image and step: forward, and backward without the input gradient of the first layer (train --json)
started    when the run was ready for its first step (log.jsonl)
A.B.C      the value under these keys of the last object; "null" if it is null
"""
import json
import sys


def flop(start):
    """A multiply-add counts 2. Every weight of a layer is used once for each of its output pixels; biases do not count."""
    total, is_first = 0, True
    for layer in start["layers"]:
        if layer["parameters"]:
            channels, height, width = layer["output"]
            one_pass = 2 * (layer["parameters"] - channels) * height * width
            total += one_pass * (2 if is_first else 3)
            is_first = False
    return total


def figures(what, events):
    epochs = [e for e in events if e.get("event") == "epoch"]
    if what == "rates":
        return [e["images_per_second"] for e in epochs]
    if what == "accuracy":
        return [epochs[-1]["test_accuracy"] if epochs else events[-1]["accuracy"]]
    if what == "flop":
        return [flop(events[0])]
    if what == "started":
        return [events[0]["time"]]
    value = events[-1]
    for key in what.split("."):
        value = value[key]
    return ["null" if value is None else value]


with open(sys.argv[2], encoding="utf-8") as f:
    lines = [json.loads(line) for line in f if line.startswith("{")]
if not lines:
    sys.exit(f"figures.py: {sys.argv[2]} holds no JSON object")
print(*figures(sys.argv[1], lines), sep="\n")
