# Writes tiny.pt: python tiny.py
import torch

w = torch.nn.Parameter(torch.arange(6.0).reshape(2, 3))
b = torch.nn.Parameter(torch.tensor([0.5, -0.5]))
opt = torch.optim.SGD([w, b], lr=0.0, momentum=0.9)
(w.sum() + b.sum()).backward()
opt.step()
torch.save(
    {
        "epoch": 3,
        "model": {
            "fc.weight": w,
            "fc.bias": b,
            "tied": w.data,
            "turned": w.data.t(),
            "row": w.data[1],
            "half": torch.tensor([1.0, 2.0, 3.0, 4.0]).bfloat16(),
            "f8": torch.tensor([1.0, -2.0]).to(torch.float8_e4m3fn),
        },
        "optimizer": opt.state_dict(),
    },
    "tiny.pt",
)
