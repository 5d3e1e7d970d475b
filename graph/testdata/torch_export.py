"""Exports small networks from PyTorch and writes a line of JSON for each: the ONNX
file, inputs, outputs, and the names of parameters and buffers. Seeds are fixed."""
import base64, io, json, sys, warnings
import torch
from torch import nn

warnings.filterwarnings("ignore")


class Mixed(nn.Module):
    """Norms and activations, each on the result of the one before."""

    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(
            nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.LeakyReLU(0.1),
            nn.Conv2d(8, 8, 3, stride=2, padding=1, groups=4), nn.InstanceNorm2d(8, affine=True), nn.ELU(),
            nn.Conv2d(8, 8, 3, padding=2, dilation=2), nn.GroupNorm(2, 8), nn.PReLU(8),
            nn.ConvTranspose2d(8, 4, 3, stride=2, padding=1, output_padding=1), nn.Softplus(),
            nn.Hardswish(), nn.Hardsigmoid(), nn.SiLU(), nn.GELU(), nn.ReLU6(), nn.Dropout(0.5), nn.MaxPool2d(2, ceil_mode=True),
            nn.AvgPool2d(3, stride=1, padding=1), nn.Flatten(), nn.Linear(4 * 4 * 4, 16), nn.LayerNorm(16), nn.Tanh(), nn.LogSoftmax(1))

    def forward(self, x):
        return self.net(x)


class Shapes(nn.Module):
    """Shape arithmetic that a dynamic batch leaves in the graph."""

    def __init__(self):
        super().__init__()
        self.table = nn.Parameter(torch.randn(1, 8, 6))
        self.first = nn.Parameter(torch.randn(1, 1, 6))

    def forward(self, x):  # (n, 6, 4, 2)
        n, c, h, w = x.shape
        y = x.reshape(n, c, h * w).permute(0, 2, 1) + self.table
        y = torch.cat([self.first.expand(n, -1, -1), y], 1)
        a, b, d = y.chunk(3, 2)
        y = torch.softmax(a @ b.transpose(1, 2) / 2 ** 0.5, -1) @ d
        y = y[:, 1:, :].mean(2, keepdim=True).squeeze(2).view(n, h, w)[:, None]
        y = nn.functional.interpolate(y, scale_factor=2, mode="bilinear", align_corners=False)
        z = nn.functional.interpolate(y, size=(h, w), mode="nearest")
        return nn.functional.pad(z, (1, 2, 0, 1), value=0.5), y.amax(dim=(2, 3)).clamp(min=-0.5, max=0.5), torch.where(y > 0, y, y * 0.1)


class Recurrent(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(10, 5)
        self.lstm = nn.LSTM(5, 4, num_layers=2, bidirectional=True, batch_first=True)
        self.gru = nn.GRU(8, 3)
        self.rnn = nn.RNN(3, 2)

    def forward(self, i):
        y, (h, c) = self.lstm(self.embed(i))
        y, _ = self.gru(y)
        y, _ = self.rnn(y)
        return y, h, c


def transformer():
    from torchvision.models import VisionTransformer
    return VisionTransformer(image_size=32, patch_size=16, num_layers=2, num_heads=2, hidden_dim=16, mlp_dim=32, num_classes=5)


def mobilenet():
    from torchvision.models import mobilenet_v3_small
    return mobilenet_v3_small(num_classes=7)


def resnet():
    from torchvision.models import resnet18
    return resnet18(num_classes=3)


NETS = [
    ("mixed", Mixed, lambda: torch.randn(2, 3, 8, 8), (9, 11, 13, 16)),
    ("shapes", Shapes, lambda: torch.randn(2, 6, 4, 2), (11, 13, 16)),
    ("recurrent", Recurrent, lambda: torch.randint(0, 10, (3, 7)), (9, 14)),
    ("transformer", transformer, lambda: torch.randn(2, 3, 32, 32), (11, 14)),
    ("mobilenet", mobilenet, lambda: torch.randn(1, 3, 32, 32), (10, 13)),
    ("resnet", resnet, lambda: torch.randn(1, 3, 32, 32), (9,)),
]


def array(t):
    kind = "I64" if t.dtype == torch.int64 else "F32"
    return {"Type": kind, "Shape": list(t.shape), "Values": [float(v) for v in t.flatten().tolist()]}


for name, make, example, opsets in NETS:
    torch.manual_seed(1)
    net = make().eval()
    with torch.no_grad():  # the exporter makes one of tensors that are equal
        for p in net.parameters():
            p += 0.1 * torch.randn(p.shape)
    for m in net.modules():
        if isinstance(m, nn.BatchNorm2d):
            m.running_mean.normal_(0, 0.2)
            m.running_var.uniform_(0.5, 1.5)
    x = example()
    with torch.no_grad():
        ys = net(x)
    ys = [ys] if isinstance(ys, torch.Tensor) else list(ys)
    for opset in opsets:
        for folded in (True, False):
            f = io.BytesIO()
            torch.onnx.export(net, x, f, opset_version=opset, do_constant_folding=folded, input_names=["x"],
                              training=torch.onnx.TrainingMode.EVAL if folded else torch.onnx.TrainingMode.PRESERVE,
                              output_names=["y%d" % i for i in range(len(ys))], dynamic_axes={"x": {0: "batch"}})
            json.dump({
                "Name": "%s, opset %d, %s" % (name, opset, "folded" if folded else "as it is"),
                "Folded": folded,
                "File": base64.b64encode(f.getvalue()).decode(),
                "Inputs": {"x": array(x)},
                "Outputs": {"y%d" % i: array(y) for i, y in enumerate(ys)},
                "Parameters": [n for n, _ in net.named_parameters()],
                "Buffers": [n for n, b in net.named_buffers() if b.dtype.is_floating_point],
            }, sys.stdout)
            print(flush=True)
