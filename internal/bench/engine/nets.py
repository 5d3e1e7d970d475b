"""The networks of package graph/nets that benchmarks and tests need, in PyTorch, with the
same names of parameters. Written down from the papers; MobileNet-v2 is torchvision's."""

import warnings

import torch.nn as nn
import torch.nn.functional as F


class LeNet5(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(1, 20, 5), nn.Conv2d(20, 50, 5)
        self.fc1, self.fc2 = nn.Linear(800, 500), nn.Linear(500, 10)

    def forward(self, x):
        x = F.max_pool2d(self.conv2(F.max_pool2d(self.conv1(x), 2)), 2)
        return self.fc2(F.relu(self.fc1(x.flatten(1))))


class LeNet300(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc1, self.fc2, self.fc3 = nn.Linear(784, 300), nn.Linear(300, 100), nn.Linear(100, 10)

    def forward(self, x):
        return self.fc3(F.relu(self.fc2(F.relu(self.fc1(x.flatten(1))))))


class Block(nn.Module):
    def __init__(self, inp, out, stride):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(inp, out, 3, stride, 1, bias=False), nn.BatchNorm2d(out)
        self.conv2, self.bn2 = nn.Conv2d(out, out, 3, 1, 1, bias=False), nn.BatchNorm2d(out)
        self.grows = out != inp

    def forward(self, x):
        y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        if self.grows:
            n = y.shape[1] // 4
            x = F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, n, n))
        return F.relu(x + y)


class CifarResNet(nn.Module):
    def __init__(self, n):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, 16, 3, 1, 1, bias=False), nn.BatchNorm2d(16)

        def layer(inp, out, stride):
            return nn.Sequential(Block(inp, out, stride), *[Block(out, out, 1) for _ in range(n - 1)])

        self.layer1, self.layer2, self.layer3 = layer(16, 16, 1), layer(16, 32, 2), layer(32, 64, 2)
        self.linear = nn.Linear(64, 10)

    def forward(self, x):
        x = self.layer3(self.layer2(self.layer1(F.relu(self.bn1(self.conv1(x))))))
        return self.linear(x.mean((2, 3)))


def make(name):
    """The network of that name, for ten classes."""
    if name == "lenet5":
        return LeNet5()
    if name == "lenet-300-100":
        return LeNet300()
    if name in ("resnet20", "resnet32"):
        return CifarResNet((int(name[6:]) - 2) // 6)
    if name == "mobilenet_v2_cifar":
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import torchvision
        net = torchvision.models.mobilenet_v2(num_classes=10)
        net.features[0][0].stride = net.features[2].conv[1][0].stride = (1, 1)
        return net
    raise ValueError(name)
