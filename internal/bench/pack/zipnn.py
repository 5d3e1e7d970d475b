"""Serve ZipNN to the benchmark: a question per line, an answer per line, in JSON.

Everything is measured in memory: reading, writing and imports do not count.
"""

import importlib.metadata
import json
import sys
import time

import zipnn


def coder(dtype):
    return zipnn.ZipNN(input_format="byte", bytearray_dtype=dtype, threads=1)


def timed(work):
    """Return what work returns, and what it cost in seconds."""
    wall, cpu = time.perf_counter(), time.process_time()
    result = work()
    return result, {"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu}


def say(answer):
    print(json.dumps(answer), flush=True)


say({"version": importlib.metadata.version("zipnn")})
for line in sys.stdin:
    question = json.loads(line)
    with open(question["in"], "rb") as f:
        data = bytearray(f.read())
    packed, encode = timed(lambda: coder(question["dtype"]).compress(data))
    restored, decode = timed(lambda: coder(question["dtype"]).decompress(packed))
    with open(question["packed"], "wb") as f:
        f.write(packed)
    with open(question["restored"], "wb") as f:
        f.write(restored)
    say({"encode": encode, "decode": decode})
