"""Speed of numpy's sgemm, as BenchmarkGemm in internal/kernel prints that of ours.

    OPENBLAS_CORETYPE=SkylakeX OPENBLAS_NUM_THREADS=1 python3 internal/bench/engine/sgemm.py
    go test -run '^$' -bench Gemm ./internal/kernel

OPENBLAS_CORETYPE matters where OpenBLAS does not know the processor and falls
back to AVX2. Run both in turn, several times: other load on the machine moves
figures more than code does.
"""

import time

import numpy as np

SHAPES = [
    (512, 512, 512), (1024, 1024, 1024), (100, 784, 300), (6400, 500, 50),
    (131072, 144, 16), (8192, 576, 64), (1, 1024, 1024),
]


def seconds(m, k, n):
    """The median time of a product, over at least half a second."""
    rng = np.random.default_rng(3)
    a = rng.standard_normal((m, k), dtype=np.float32)
    b = rng.standard_normal((k, n), dtype=np.float32)
    c = np.empty((m, n), dtype=np.float32)
    np.dot(a, b, out=c)
    times = []
    end = time.perf_counter() + 0.5
    while time.perf_counter() < end or len(times) < 3:
        start = time.perf_counter()
        np.dot(a, b, out=c)
        times.append(time.perf_counter() - start)
    return sorted(times)[len(times) // 2]


for m, k, n in SHAPES:
    print(f"{m}x{k}x{n}\t{2 * m * k * n / seconds(m, k, n) / 1e9:.1f} GFLOP/s")
