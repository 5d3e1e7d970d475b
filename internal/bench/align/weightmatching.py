#!/usr/bin/env python3
"""Times weight matching as Git Re-Basin has it (Ainsworth and others 2022, algorithm 1),
on a ResNet-50 with random weights whose groups are all shuffled, with noise of a tenth
of a standard deviation: products by NumPy in float32, assignments by SciPy. It is
written from the paper. Beside it, on the same machine:

    OPENBLAS_NUM_THREADS=1 python3 internal/bench/align/weightmatching.py
    go test -run '^$' -bench ResNet50 -benchtime 3x ./align

Both take one thread. Prints seconds of processor time, sweeps, and the share of
neurons that were found. Ours has rescaled neurons to see through as well.
"""
import sys
import time

import numpy as np
from scipy.optimize import linear_sum_assignment


def resnet50(rng, shrink):
    shapes, groups = {}, {}

    def add(name, *shape):
        shapes[name] = shape

    def on(group, tensor, axis):
        groups.setdefault(group, []).append((tensor, axis))

    def norm(group, name, size):
        for part in ("weight", "bias"):
            add(f"{name}.{part}", size)
            on(group, f"{name}.{part}", 0)

    w = lambda k: k // shrink
    add("conv1.weight", w(64), 3, 7, 7)
    on("stem", "conv1.weight", 0)
    norm("stem", "bn1", w(64))
    stream, width = "stem", w(64)
    for stage, blocks in enumerate((3, 4, 6, 3)):
        inner, outer = w(64 << stage), w(256 << stage)
        for b in range(blocks):
            n = f"layer{stage + 1}.{b}"
            add(f"{n}.conv1.weight", inner, width, 1, 1)
            add(f"{n}.conv2.weight", inner, inner, 3, 3)
            add(f"{n}.conv3.weight", outer, inner, 1, 1)
            on(stream, f"{n}.conv1.weight", 1)
            on(f"{n}.1", f"{n}.conv1.weight", 0)
            norm(f"{n}.1", f"{n}.bn1", inner)
            on(f"{n}.1", f"{n}.conv2.weight", 1)
            on(f"{n}.2", f"{n}.conv2.weight", 0)
            norm(f"{n}.2", f"{n}.bn2", inner)
            on(f"{n}.2", f"{n}.conv3.weight", 1)
            if b == 0:
                add(f"{n}.downsample.0.weight", outer, width, 1, 1)
                on(stream, f"{n}.downsample.0.weight", 1)
                stream, width = f"layer{stage + 1}", outer
                on(stream, f"{n}.downsample.0.weight", 0)
                norm(stream, f"{n}.downsample.1", outer)
            on(stream, f"{n}.conv3.weight", 0)
            norm(stream, f"{n}.bn3", outer)
    add("fc.weight", 1000 // shrink, width)
    on(stream, "fc.weight", 1)
    weights = {}
    for name, shape in shapes.items():
        fan = int(np.prod(shape[1:])) or 1
        weights[name] = (rng.standard_normal(shape) * np.sqrt(2 / fan)).astype(np.float32)
    return weights, groups


def main():
    rng = np.random.default_rng(50)
    a, groups = resnet50(rng, int(sys.argv[1]) if len(sys.argv) > 1 else 1)
    b = {k: v + np.float32(0.1 * v.std()) * rng.standard_normal(v.shape, dtype=np.float32) for k, v in a.items()}
    truth = {}
    for g, places in groups.items():
        size = a[places[0][0]].shape[places[0][1]]
        order = rng.permutation(size)
        truth[g] = np.argsort(order)
        for t, axis in places:
            b[t] = np.take(b[t], order, axis=axis)
    axes = {}
    for g, places in groups.items():
        for t, axis in places:
            axes.setdefault(t, {})[axis] = g

    start = time.process_time()
    perm = {g: np.arange(len(truth[g])) for g in groups}
    names = list(groups)
    in_products = in_assignments = 0.0
    for sweep in range(100):
        progress = False
        for i in rng.permutation(len(names)):
            g = names[i]
            n = len(perm[g])
            began = time.process_time()
            score = np.zeros((n, n), np.float32)
            for t, axis in groups[g]:
                w = b[t]
                for other, h in axes[t].items():
                    if other != axis:
                        w = np.take(w, perm[h], axis=other)
                x = np.moveaxis(a[t], axis, 0).reshape(n, -1)
                y = np.moveaxis(w, axis, 0).reshape(n, -1)
                score += x @ y.T
            in_products += time.process_time() - began
            began = time.process_time()
            _, col = linear_sum_assignment(score, maximize=True)
            in_assignments += time.process_time() - began
            rows = np.arange(n)
            if score[rows, col].sum() > score[rows, perm[g]].sum() + 1e-12:
                progress = True
            perm[g] = col
        if not progress:
            break
    seconds = time.process_time() - start
    found = sum((perm[g] == truth[g]).sum() for g in groups) / sum(len(p) for p in perm.values())
    print(f"{seconds:.1f} s (products {in_products:.1f}, assignments {in_assignments:.1f}), {sweep + 1} sweeps, {100 * found:.2f} % found")


main()
