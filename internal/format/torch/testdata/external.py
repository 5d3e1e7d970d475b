# Writes the cases of external_test.go to the folder that is its argument.
import argparse, collections, datetime, json, os, pathlib, random, sys, warnings
import numpy as np
import torch
from torch import nn

warnings.simplefilter("ignore")
torch.manual_seed(1)
out = sys.argv[1]
NAMES = {
    torch.float64: "F64", torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16",
    torch.float8_e4m3fn: "F8_E4M3", torch.float8_e5m2: "F8_E5M2",
    torch.float8_e4m3fnuz: "F8_E4M3FNUZ", torch.float8_e5m2fnuz: "F8_E5M2FNUZ",
    torch.float8_e8m0fnu: "F8_E8M0", torch.float4_e2m1fn_x2: "F4",
    torch.int64: "I64", torch.int32: "I32", torch.int16: "I16", torch.int8: "I8",
    torch.uint64: "U64", torch.uint32: "U32", torch.uint16: "U16", torch.uint8: "U8",
    torch.bool: "BOOL", torch.complex64: "C64", torch.complex128: "C128",
}


def walk(path, v):
    if isinstance(v, torch.Tensor):
        yield ".".join(path) if path else "tensor", v
    elif isinstance(v, dict):
        for k, x in v.items():
            yield from walk(path + [str(k)], x)
    elif isinstance(v, (list, tuple)):
        for i, x in enumerate(v):
            yield from walk(path + [str(i)], x)


def case(name, obj, **options):
    path = os.path.join(out, name + ".pt")
    torch.save(obj, path, **options)
    loaded = torch.load(path, weights_only=False)
    index, values = [], b""
    for key, t in walk([], loaded):
        t = t.detach()
        shape = list(t.shape)
        if t.dtype == torch.float4_e2m1fn_x2:
            shape[-1] *= 2
        index.append({"Name": key, "DType": NAMES[t.dtype], "Shape": shape})
        flat = t.contiguous().reshape(-1)
        values += (flat.view(torch.uint8) if flat.numel() else flat.to(torch.uint8)).numpy().tobytes()
    with open(os.path.join(out, name + ".json"), "w") as f:
        json.dump(index, f)
    with open(os.path.join(out, name + ".bin"), "wb") as f:
        f.write(values)


def refuse(name, reason, save):
    save(os.path.join(out, name + ".pt"))
    with open(os.path.join(out, name + ".refuse"), "w") as f:
        f.write(reason)


def net():
    return nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), nn.Linear(32, 5))


raw = torch.randint(0, 256, (96,), dtype=torch.uint8)
every = {}
for d in NAMES:
    if d == torch.bool:
        every[str(d)] = raw[:6] > 99
    else:
        every[str(d)] = raw.clone().view(d).clone()
        if d not in (torch.float4_e2m1fn_x2,):
            every[str(d) + " rows"] = raw.clone().view(d)[:6].clone().reshape(2, 3)
case("dtypes", every)

base = torch.randn(4, 5, 6)
case("views", {
    "all": base, "transposed": base.transpose(0, 2), "permuted": base.permute(1, 2, 0),
    "slice": base[1:3, ::2, 1:], "row": base[2], "step": base.reshape(-1)[3::7],
    "expanded": base[0, :1].expand(9, 6), "diagonal": base[0].diagonal(),
    "channels last": torch.randn(2, 3, 4, 5).to(memory_format=torch.channels_last),
    "0-d": base[0, 0, 0], "scalar": torch.tensor(2.5), "empty": torch.zeros(0), "empty rows": torch.zeros(3, 0, 2),
    "empty slice": base[4:],
})
tied = nn.Linear(4, 4)
case("tied", collections.OrderedDict([("embed.weight", tied.weight), ("head.weight", tied.weight), ("head.t", tied.weight.t())]))
case("state_dict", net().state_dict())
case("parameters", dict(net().named_parameters()))
m = net()
opt = torch.optim.AdamW(m.parameters())
sched = torch.optim.lr_scheduler.CosineAnnealingLR(opt, 10)
for _ in range(2):
    m(torch.randn(2, 3, 4, 4)).sum().backward()
    opt.step()
    sched.step()
checkpoint = {
    "epoch": 3, "arch": "net", "state_dict": m.state_dict(), "optimizer": opt.state_dict(), "scheduler": sched.state_dict(),
    "rng": torch.get_rng_state(), "numpy_rng": np.random.get_state(), "python_rng": random.getstate(), "seed": torch.initial_seed(),
    "big": 2**200, "best": np.float64(1.5), "count": np.int64(7), "array": np.arange(6.0), "loss": [0.5, float("nan"), float("inf")],
    "args": argparse.Namespace(lr=0.1, path=pathlib.PurePosixPath("runs")), "when": datetime.datetime(2020, 1, 2, 3, 4, 5),
    "dtype": torch.float16, "device": torch.device("cuda", 1), "size": torch.Size([1, 2]), "set": {1, 2}, "frozen": frozenset([1]),
    "bytes": b"\x00\xff", "bytearray": bytearray(b"abc"), "complex": 1 + 2j, "slice": slice(1, 2), "none": None,
    "counter": collections.Counter("abca"), "default": collections.defaultdict(list, a=[torch.ones(2)]), "layout": torch.strided,
}
for protocol in (2, 3, 4, 5):
    case("checkpoint%d" % protocol, checkpoint, pickle_protocol=protocol)
case("nested", {"a": [torch.ones(1), (torch.zeros(2), {"b": torch.ones(2, 2)})], 3: {True: torch.ones(1)}})
case("alone", torch.randn(3, 3))
case("list", [torch.ones(2), torch.zeros(3)])
case("none", {})
case("unicode", {"größe.重み": torch.ones(1)})
case("attributes", {"p": (lambda p: (setattr(p, "tag", {"x": 1}), p)[1])(nn.Parameter(torch.ones(2)))})
case("storages", {"s": torch.ones(3).untyped_storage(), "t": torch.ones(3).storage(), "w": torch.ones(2)})
torch.serialization.set_crc32_options(False)
case("no checksums", {"w": torch.ones(2)})
torch.serialization.set_crc32_options(True)
case("many", {"layers.%d.weight" % i: torch.full((3,), float(i)) for i in range(3000)})

refuse("legacy", "legacy PyTorch file", lambda p: torch.save({"w": torch.ones(1)}, p, _use_new_zipfile_serialization=False))
for protocol in (3, 4, 5):
    refuse("legacy%d" % protocol, "legacy PyTorch file", lambda p: torch.save({}, p, _use_new_zipfile_serialization=False, pickle_protocol=protocol))
refuse("module", "the file holds a whole module (it wants torch.nn.modules", lambda p: torch.save(net(), p))


class Own:
    pass


refuse("own class", "the pickle wants __main__.Own;", lambda p: torch.save({"x": Own()}, p))
refuse("script", "TorchScript archive", lambda p: torch.jit.save(torch.jit.script(nn.Linear(2, 2)), p))
refuse("trace", "TorchScript archive", lambda p: torch.jit.save(torch.jit.trace(nn.Linear(2, 2), torch.ones(1, 2)), p))
refuse("conjugate", 'tensor "w" is stored as its conjugate', lambda p: torch.save({"w": torch.ones(2, dtype=torch.complex64).conj()}, p))
refuse("negative", 'tensor "w" is stored as its negative', lambda p: torch.save({"w": torch.ones(2, dtype=torch.complex64).conj().imag}, p))
refuse("quantized", 'tensor "w" is quantized', lambda p: torch.save({"w": torch.quantize_per_tensor(torch.ones(2), 0.1, 0, torch.qint8)}, p))
refuse("sparse", 'tensor "w" is sparse', lambda p: torch.save({"w": torch.ones(2, 2).to_sparse()}, p))
refuse("sparse rows", 'tensor "w" is sparse', lambda p: torch.save({"w": torch.ones(2, 2).to_sparse_csr()}, p))
refuse("nested tensor", 'tensor "w" is nested', lambda p: torch.save({"w": torch.nested.nested_tensor([torch.ones(1), torch.ones(2)])}, p))
refuse("meta", 'tensor "w" is on the meta device', lambda p: torch.save({"w": torch.ones(2, device="meta")}, p))
refuse("complex32", 'tensor "w" is of type torch.complex32', lambda p: torch.save({"w": torch.ones(2).to(torch.complex32)}, p))
