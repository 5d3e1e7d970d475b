"""A trained MobileNet-v2 as safetensors, with the names of torchvision.

    npm pack nsfwjs@4.3.0
    tar xzf nsfwjs-4.3.0.tgz
    python3 internal/bench/align/mobilenetv2.py package/dist/models/mobilenet_v2 mobilenet_v2.safetensors

The package keeps the weights in 256 levels each. Of three dense layers at the end the
first (1280 to 256) stands for the classifier.
"""

import base64
import json
import re
import struct
import sys

import numpy as np

folder, out = sys.argv[1:]
model = open(f"{folder}/model.min.js").read()
shard = open(f"{folder}/group1-shard1of1.min.js").read()
raw = base64.b64decode(max(re.findall(r'"([A-Za-z0-9+/=]{1000,})"', shard), key=len))

entry = re.compile(
    r'\{name:"([^"]+)",shape:\[([\d,]+)\],dtype:"float32",quantization:\{min:([^,]+),scale:([^,]+),dtype:"uint8"\}\}'
)
source, at = {}, 0
for name, shape, low, scale in entry.findall(model):
    shape = [int(n) for n in shape.split(",")]
    n = int(np.prod(shape))
    x = np.frombuffer(raw, np.uint8, n, at).astype(np.float32) * np.float32(scale) + np.float32(low)
    source[name] = x.reshape(shape)
    at += n
if at != len(raw):
    sys.exit(f"the manifest names {at} weights, and there are {len(raw)} bytes")

tensors = {}


def conv(to, name, norm):
    x = source.pop(f"{name}/depthwise_kernel", None)
    if x is None:
        x = source.pop(f"{name}/kernel").transpose(3, 2, 0, 1)
    else:
        x = x.transpose(2, 3, 0, 1)
    tensors[to[0] + ".weight"] = x
    for theirs, ours in ("gamma", "weight"), ("beta", "bias"), ("moving_mean", "running_mean"), ("moving_variance", "running_var"):
        tensors[f"{to[1]}.{ours}"] = source.pop(f"{norm}/{theirs}")


conv(("features.0.0", "features.0.1"), "Conv1", "bn_Conv1")
for k in range(17):
    theirs, ours = f"block_{k}" if k else "expanded_conv", f"features.{k + 1}.conv"
    steps = ["expand", "depthwise", "project"] if k else ["depthwise", "project"]
    for i, step in enumerate(steps):
        to = (f"{ours}.{i}", f"{ours}.{i + 1}") if step == "project" else (f"{ours}.{i}.0", f"{ours}.{i}.1")
        conv(to, f"{theirs}_{step}", f"{theirs}_{step}_BN")
conv(("features.18.0", "features.18.1"), "Conv_1", "Conv_1_bn")
tensors["classifier.1.weight"] = source.pop("dense_1/kernel").T
tensors["classifier.1.bias"] = source.pop("dense_1/bias")

header, body = {}, b""
for name in sorted(tensors):
    data = np.ascontiguousarray(tensors[name], "<f4").tobytes()
    header[name] = {"dtype": "F32", "shape": list(tensors[name].shape), "data_offsets": [len(body), len(body) + len(data)]}
    body += data
text = json.dumps(header).encode()
text += b" " * (-len(text) % 8)
with open(out, "wb") as f:
    f.write(struct.pack("<Q", len(text)) + text + body)
print(f"{len(tensors)} tensors; left out: {', '.join(sorted(source))}")
