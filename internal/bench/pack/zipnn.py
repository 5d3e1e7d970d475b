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


def say(answer):
    print(json.dumps(answer), flush=True)


say({"version": importlib.metadata.version("zipnn")})
for line in sys.stdin:
    question = json.loads(line)
    with open(question["in"], "rb") as f:
        data = bytearray(f.read())
    start = time.perf_counter()
    packed = coder(question["dtype"]).compress(data)
    middle = time.perf_counter()
    restored = coder(question["dtype"]).decompress(packed)
    end = time.perf_counter()
    with open(question["packed"], "wb") as f:
        f.write(packed)
    with open(question["restored"], "wb") as f:
        f.write(restored)
    say({"encode": middle - start, "decode": end - middle})
