"""PyTorch and ONNX Runtime, measured for the benchmark of the engine.

Reads lines of JSON, each a request, and answers each with one line of JSON:

    {"do": "version"}                                      → {"version": "…"}
    {"do": "train", "net": "lenet5", "batch": 100, "steps": 5}  → {"seconds": […], "cpu": …}
    {"do": "forward", "model": "m.onnx", "inputs": […], "steps": 5}
    {"do": "memory", "net": "resnet20", "batch": 128}      → {"baseline": …, "peak": …}

The first argument is the number of threads, the second torch or onnxruntime.
"""

import json
import os
import sys
import time

import numpy as np

THREADS, KIND = int(sys.argv[1]), sys.argv[2]
SHAPES = {"lenet5": (1, 28, 28), "lenet-300-100": (1, 28, 28)}

if KIND == "torch":
    import torch
    import torch.nn.functional as F

    import nets

    torch.set_num_threads(THREADS)
else:
    import onnxruntime

cases = {}


def training(r):
    """A function that makes one step of training."""
    torch.manual_seed(1)
    net = nets.make(r["net"]).train()
    x = torch.randn(r["batch"], *SHAPES.get(r["net"], (3, 32, 32)))
    y = torch.arange(r["batch"]) % 10
    optimizer = torch.optim.SGD(net.parameters(), lr=0.01, momentum=0.9)

    def step():
        optimizer.zero_grad(set_to_none=True)
        loss = F.cross_entropy(net(x), y)
        loss.backward()
        optimizer.step()
        return loss.item()

    return step


def running(r):
    """A function that runs an ONNX model once."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = THREADS, 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(r["model"], options, providers=["CPUExecutionProvider"])
    rng = np.random.default_rng(1)
    feed = {}
    for i in r["inputs"]:
        if i.get("value") is not None:
            feed[i["name"]] = np.array(i["value"], dtype=np.int64)
        else:
            feed[i["name"]] = rng.standard_normal(i["shape"], dtype=np.float32)
    return lambda: session.run(None, feed)


def libraries():
    """The libraries of linear algebra in this process: a torch with the reference BLAS of a
    distribution multiplies matrices twenty times slower than one with OpenBLAS or MKL."""
    names = {os.path.realpath(line.split()[-1]) for line in open("/proc/self/maps") if ".so" in line}
    return sorted({os.path.basename(n) for n in names if any(w in n for w in ("blas", "mkl", "dnnl"))})


def high_water():
    """The most memory that this process has had, in bytes."""
    for line in open("/proc/self/status"):
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024


for line in sys.stdin:
    r = json.loads(line)
    if r["do"] == "version":
        version = torch.__version__ if KIND == "torch" else onnxruntime.__version__
        answer = {"version": " ".join([version, *(libraries() if KIND == "torch" else [])])}
    elif r["do"] == "memory":
        baseline = high_water()
        step = training(r)
        for _ in range(3):
            step()
        answer = {"baseline": baseline, "peak": high_water()}
    else:
        key = json.dumps({k: v for k, v in r.items() if k != "steps"}, sort_keys=True)
        if key not in cases:
            cases[key] = (training if r["do"] == "train" else running)(r)
            for _ in range(2):  # warm up
                cases[key]()
        seconds, cpu = [], time.process_time()
        for _ in range(r["steps"]):
            start = time.perf_counter()
            cases[key]()
            seconds.append(time.perf_counter() - start)
        answer = {"seconds": seconds, "cpu": time.process_time() - cpu}
    print(json.dumps(answer), flush=True)
