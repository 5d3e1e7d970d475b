"""Serve the entropy coder of NNCodec to the benchmark: a question per line, an
answer per line, in JSON.

The C++ core is called as the package calls it, for each tensor alone, without
the package's own quantizer: indices relative to the most frequent one, unary
codes up to 11, the search for the best windows on, all-zero rows skipped where
that makes the tensor smaller. Neither headers nor codebooks count.
"""

import importlib.metadata
import json
import sys
import time

import numpy as np
from nncodec.extensions import deepCABAC

UNARY = 11
PROFILE = 1  # that of the standard's second edition, which has the row skip
OFF = (deepCABAC.HdspMode.AlwaysOff, np.zeros(2, dtype=np.int8))
SHORT = 0.5  # seconds; what takes less is done again, and the best time counts
REPEATS = 3


def encode(values, empty, skip):
    encoder = deepCABAC.Encoder()
    encoder.initCtxModels(UNARY, 1)
    encoder.encodeLayer(values, 0, 0, PROFILE, 0, skip, empty, *OFF, 0, 0)
    return encoder.finish()


def decode(coded, shape):
    values = np.zeros(shape, dtype=np.int32)
    decoder = deepCABAC.Decoder()
    decoder.setStream(coded)
    decoder.initCtxModels(UNARY)
    decoder.decodeLayer(values, 0, 0, PROFILE, 0, *OFF, 0, 0)
    decoder.finish()
    return values


def timed(work):
    """Return what work returns, and its seconds."""
    best = float("inf")
    for _ in range(REPEATS):
        start = time.perf_counter()
        result = work()
        best = min(best, time.perf_counter() - start)
        if best > SHORT:
            break
    return result, best


def tensors(path):
    with open(path + ".json", encoding="utf-8") as f:
        about = json.load(f)
    symbols = np.fromfile(path + ".bin", dtype="<u2" if about["wide"] else "u1")
    at = 0
    for t in about["tensors"]:
        n = int(np.prod(t["shape"]))
        part = symbols[at : at + n].astype(np.int32)
        at += n
        centred = part - np.bincount(part).argmax()
        yield np.ascontiguousarray(centred.reshape(t["shape"]), dtype=np.int32)


def measure(path):
    answer = {"bytes": 0, "encode": 0.0, "decode": 0.0, "verified": True}
    for values in tensors(path):
        empty = np.array([not row.any() for row in values], dtype=np.int32)
        coded, spent = timed(lambda: encode(values, empty, 0))
        if empty.any():
            other = timed(lambda: encode(values, empty, 1))
            if len(other[0]) < len(coded):
                coded, spent = other
        restored, back = timed(lambda: decode(coded, values.shape))
        answer["bytes"] += len(coded)
        answer["encode"] += spent
        answer["decode"] += back
        answer["verified"] &= bool((restored == values).all())
    return answer


def say(answer):
    print(json.dumps(answer), flush=True)


say({"version": importlib.metadata.version("nncodec")})
for line in sys.stdin:
    say(measure(json.loads(line)["stream"]))
