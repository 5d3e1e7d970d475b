#!/usr/bin/env python3
"""Times PermutationCoordinateDescent of rebasin (PyPI, 0.0.47) on torchvision's
ResNet-50 with random weights: model b is model a with noise of a tenth of a standard
deviation, whose groups are all shuffled. One thread, beside weightmatching.py and ours.

    OMP_NUM_THREADS=1 python3 internal/bench/large/peer.py [inner]

It needs torch, torchvision and rebasin. Prints seconds of processor time: of tracing
the networks, and of the descent; and the share of neurons of inner groups (conv1 and
conv2 of each block) that are back in place.
"""
import sys
import time

import numpy as np
import torch
import torchvision
from rebasin import PermutationCoordinateDescent

torch.manual_seed(50)
torch.set_num_threads(1)
rng = np.random.default_rng(50)
a, b = torchvision.models.resnet50().eval(), torchvision.models.resnet50().eval()
state = {k: v.clone() for k, v in a.state_dict().items()}
for k, v in state.items():
    if v.is_floating_point() and v.dim() > 1:
        state[k] = v + 0.1 * v.std() * torch.randn_like(v)


def move(order, *places):
    for name, axis in places:
        state[name] = state[name].index_select(axis, order)


def norm(name):
    return [(f"{name}.{p}", 0) for p in ("weight", "bias", "running_mean", "running_var")]


truth = {}
perm = lambda n: torch.from_numpy(rng.permutation(n))
streams = "inner" not in sys.argv[1:]  # else only what is inside of blocks moves
keep = lambda n: perm(n) if streams else torch.arange(n)
stem = keep(64)
move(stem, ("conv1.weight", 0), *norm("bn1"))
stream = stem
for stage, blocks in enumerate((3, 4, 6, 3), 1):
    inner, outer = 32 << stage, 128 << stage
    new = keep(outer)
    for k in range(blocks):
        n = f"layer{stage}.{k}"
        one, two = perm(inner), perm(inner)
        truth[f"{n}.conv1"], truth[f"{n}.conv2"] = one, two
        move(stream, (f"{n}.conv1.weight", 1))
        move(one, (f"{n}.conv1.weight", 0), *norm(f"{n}.bn1"), (f"{n}.conv2.weight", 1))
        move(two, (f"{n}.conv2.weight", 0), *norm(f"{n}.bn2"), (f"{n}.conv3.weight", 1))
        move(new, (f"{n}.conv3.weight", 0), *norm(f"{n}.bn3"))
        if k == 0:
            move(stream, (f"{n}.downsample.0.weight", 1))
            move(new, (f"{n}.downsample.0.weight", 0), *norm(f"{n}.downsample.1"))
            stream = new
move(stream, ("fc.weight", 1))
b.load_state_dict(state)

x = torch.randn(1, 3, 64, 64)
start = time.process_time()
pcd = PermutationCoordinateDescent(a, b, x)
traced = time.process_time()
pcd.rebasin()
done = time.process_time()
after = b.state_dict()
right = count = 0
for n, order in truth.items():
    u = a.state_dict()[n + ".weight"].flatten(1)
    v = after[n + ".weight"].flatten(1)
    # With the order of its input back, a filter is most like the one it was.
    right += (torch.nn.functional.cosine_similarity(u, v) > 0.5).sum().item()
    count += len(order)
print(f"{done - traced:.1f} s of descent, {traced - start:.1f} s of tracing, {100 * right / count:.2f} % of inner neurons back")
