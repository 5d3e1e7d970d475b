#!/usr/bin/env python3
"""Train the small network of testdata and write it in three formats.

    python3 train.py SOURCE TARGET

SOURCE is the folder of the four full Fashion-MNIST idx.gz files. Writes
fashion-cnn.safetensors, .onnx and .pt, which hold the same numbers under the
same names, and prints the test accuracy of what was written.

Needs torch, numpy, safetensors and onnx. The seed fixes the training on one
machine and one version of torch; elsewhere the last bits will differ.
"""

import gzip
import pathlib
import sys

import numpy as np
import onnx
import onnx.reference
import safetensors.torch
import torch
import torch.nn.functional as F
from onnx import TensorProto, helper, numpy_helper
from torch import nn

SEED = 1
EPOCHS = 12
BATCH = 128
PEAK_RATE = 0.1
MEAN, DEVIATION = 0.2860, 0.3530  # of the training pixels, scaled to 0..1


class FashionCNN(nn.Sequential):
    """A LeNet-5 of 3x3 kernels with batch normalization: 51,594 parameters.

    1x28x28 -> 16x14x14 -> 32x7x7 -> 64x3x3 -> 48 -> 10
    """

    def __init__(self):
        super().__init__()
        for i, (inputs, outputs) in enumerate(((1, 16), (16, 32), (32, 64)), 1):
            self.add_module(f"conv{i}", nn.Conv2d(inputs, outputs, 3, padding=1, bias=False))
            self.add_module(f"bn{i}", nn.BatchNorm2d(outputs))
            self.add_module(f"relu{i}", nn.ReLU())
            self.add_module(f"pool{i}", nn.MaxPool2d(2))
        self.add_module("flatten", nn.Flatten())
        self.add_module("fc1", nn.Linear(64 * 3 * 3, 48))
        self.add_module("relu4", nn.ReLU())
        self.add_module("fc2", nn.Linear(48, 10))


def load(source, split):
    """Return normalized images (N, 1, 28, 28) and labels (N)."""
    images = gzip.decompress((source / f"{split}-images-idx3-ubyte.gz").read_bytes())
    labels = gzip.decompress((source / f"{split}-labels-idx1-ubyte.gz").read_bytes())
    x = np.frombuffer(images, np.uint8, offset=16).reshape(-1, 1, 28, 28)
    y = np.frombuffer(labels, np.uint8, offset=8)
    x = torch.from_numpy(x / np.float32(255))
    return (x - MEAN) / DEVIATION, torch.from_numpy(y.astype(np.int64))


def augment(x):
    """Mirror half of the images, and move the batch by up to two pixels."""
    mirrored = torch.rand(len(x), 1, 1, 1) < 0.5
    x = torch.where(mirrored, x.flip(3), x)
    dy, dx = torch.randint(0, 5, (2,)).tolist()
    background = -MEAN / DEVIATION
    return F.pad(x, (2, 2, 2, 2), value=background)[:, :, dy : dy + 28, dx : dx + 28]


def train(model, x, y):
    steps = EPOCHS * (len(x) // BATCH)
    optimizer = torch.optim.SGD(model.parameters(), PEAK_RATE, momentum=0.9, nesterov=True, weight_decay=5e-4)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, PEAK_RATE, total_steps=steps)
    for epoch in range(EPOCHS):
        model.train()
        order = torch.randperm(len(x))
        total = 0.0
        for i in range(len(x) // BATCH):
            batch = order[i * BATCH : (i + 1) * BATCH]
            loss = F.cross_entropy(model(augment(x[batch])), y[batch], label_smoothing=0.05)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            total += loss.item()
        print(f"epoch {epoch + 1}: loss {total / (len(x) // BATCH):.4f}", flush=True)
    model.eval()


def correct(model, x, y):
    with torch.no_grad():
        return sum((model(a).argmax(1) == b).sum().item() for a, b in zip(x.split(500), y.split(500)))


def to_onnx(model):
    """Return the network as an ONNX model that keeps the names of torch."""
    nodes, weights, at = [], [], "input"

    def add(kind, name, params=(), **attributes):
        nonlocal at
        inputs = [f"{name}.{p}" for p in params]
        nodes.append(helper.make_node(kind, [at, *inputs], [name], name, **attributes))
        weights.extend(numpy_helper.from_array(model.state_dict()[i].numpy(), i) for i in inputs)
        at = name

    for name, layer in model.named_children():
        match layer:
            case nn.Conv2d():
                add("Conv", name, ("weight",), kernel_shape=[3, 3], pads=[1, 1, 1, 1])
            case nn.BatchNorm2d():
                add("BatchNormalization", name, ("weight", "bias", "running_mean", "running_var"), epsilon=layer.eps)
            case nn.ReLU():
                add("Relu", name)
            case nn.MaxPool2d():
                add("MaxPool", name, kernel_shape=[2, 2], strides=[2, 2])
            case nn.Flatten():
                add("Flatten", name)
            case nn.Linear():
                add("Gemm", name, ("weight", "bias"), transB=1)

    def value(name, *axes):
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", *axes])

    graph = helper.make_graph(nodes, "fashion-cnn", [value("input", 1, 28, 28)], [value(at, 10)], weights)
    proto = helper.make_model(graph, producer_name="ropewalk-testdata", opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(proto, full_check=True)
    return proto


def main(source, target):
    torch.manual_seed(SEED)
    torch.set_num_threads(2)
    model = FashionCNN()
    train(model, *load(source, "train"))

    stem = target / "fashion-cnn"
    safetensors.torch.save_file(model.state_dict(), stem.with_suffix(".safetensors"), {"arch": "fashion-cnn"})
    torch.save(model.state_dict(), stem.with_suffix(".pt"))
    proto = to_onnx(model)
    onnx.save(proto, stem.with_suffix(".onnx"))

    x, y = load(source, "t10k")
    want = model(x[:64]).detach().numpy()
    (got,) = onnx.reference.ReferenceEvaluator(proto).run(None, {"input": x[:64].numpy()})
    print("parameters:", sum(p.numel() for p in model.parameters()))
    print("largest difference between ONNX and torch:", abs(got - want).max())
    print("correct of", len(x), "test images:", correct(model, x, y))


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]))
