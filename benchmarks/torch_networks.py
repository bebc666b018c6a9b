"""The classic convolutional networks in plain PyTorch: the other side of tests and benchmarks.

Written from the papers and from what torchvision and timm define, with nothing of `canon`. Module names, and so the
keys of `state_dict()`, are torchvision's and timm's wherever those have the network, so their checkpoints load
strictly. Images are [batch, channels, height, width]; `forward` returns logits [batch, num_classes] unless a
docstring says otherwise. Every dropout is an `nn.Dropout`, so a test can find them all and set `p` to 0.

Networks of rectifiers start from He et al.'s normal initialization (2015, arXiv:1502.01852) over inputs, and zero
biases, rather than from each library's own: activations then keep one size from layer to layer.
"""

from collections import OrderedDict

import torch
import torch.nn.functional as F  # noqa: N812 - PyTorch's own habit
from torch import Tensor, nn


def _he_normal(network: nn.Module) -> nn.Module:
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(module.weight, mode="fan_in", nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    return network


def _relu(x: Tensor) -> Tensor:
    return F.relu(x, inplace=True)


def _response_norm(k: float) -> nn.Module:
    # PyTorch takes the mean over the 5 channels where Krizhevsky et al. (2012), sect. 3.3, take the sum.
    return nn.LocalResponseNorm(5, alpha=5 * 1e-4, beta=0.75, k=k)


# LeCun et al. (1998), table I: the maps of S2 that each map of C3 sees
TABLE_I = (
    *([0, 1, 2], [1, 2, 3], [2, 3, 4], [3, 4, 5], [4, 5, 0], [5, 0, 1]),
    *([0, 1, 2, 3], [1, 2, 3, 4], [2, 3, 4, 5], [3, 4, 5, 0], [4, 5, 0, 1], [5, 0, 1, 2]),
    *([0, 1, 3, 4], [1, 2, 4, 5], [0, 2, 3, 5], [0, 1, 2, 3, 4, 5]),
)


def _scaled_tanh(x: Tensor) -> Tensor:
    return 1.7159 * torch.tanh(x * (2 / 3))


def _subsample(x: Tensor, coefficient: Tensor, bias: Tensor) -> Tensor:
    sums = F.avg_pool2d(x, 2, divisor_override=1)
    return sums * coefficient[:, None, None] + bias[:, None, None]


class LeNet5(nn.Module):
    def __init__(self):
        super().__init__()
        self.c1 = nn.Conv2d(1, 6, 5)
        self.s2_coefficient = nn.Parameter(torch.full((6,), 0.25))
        self.s2_bias = nn.Parameter(torch.zeros(6))
        self.c3 = nn.ModuleList(nn.Conv2d(len(maps), 1, 5) for maps in TABLE_I)
        self.s4_coefficient = nn.Parameter(torch.full((16,), 0.25))
        self.s4_bias = nn.Parameter(torch.zeros(16))
        self.c5 = nn.Conv2d(16, 120, 5)
        self.f6 = nn.Linear(120, 84)

    def forward(self, x: Tensor) -> Tensor:
        x = _scaled_tanh(self.c1(x))
        x = _scaled_tanh(_subsample(x, self.s2_coefficient, self.s2_bias))
        x = _scaled_tanh(torch.cat([conv(x[:, maps]) for conv, maps in zip(self.c3, TABLE_I, strict=True)], 1))
        x = _scaled_tanh(_subsample(x, self.s4_coefficient, self.s4_bias))
        x = _scaled_tanh(self.c5(x))
        return _scaled_tanh(self.f6(torch.flatten(x, 1)))


def lenet5(num_classes: int = 10) -> nn.Module:
    """LeCun, Bottou, Bengio and Haffner (1998) up to F6: [batch, 1, 32, 32] to its activation [batch, 84].

    The output layer, and with it any use of `num_classes`, is left out.
    """
    return LeNet5()


def lenet5_modern(num_classes: int = 10, channels: int = 1) -> nn.Module:
    """LeNet-5 as it is taught: rectifiers, max pooling, a full C3 and a linear output, on [batch, channels, 28, 28]."""
    layers = OrderedDict(
        **{"conv1": nn.Conv2d(channels, 6, 5, padding=2), "relu1": nn.ReLU(inplace=True), "pool1": nn.MaxPool2d(2)},
        **{"conv2": nn.Conv2d(6, 16, 5), "relu2": nn.ReLU(inplace=True), "pool2": nn.MaxPool2d(2)},
        **{"flat": nn.Flatten(), "fc1": nn.Linear(16 * 5 * 5, 120), "relu3": nn.ReLU(inplace=True)},
        **{"fc2": nn.Linear(120, 84), "relu4": nn.ReLU(inplace=True)},
        fc3=nn.Linear(84, num_classes),
    )
    return _he_normal(nn.Sequential(layers))


class EightLayers(nn.Module):
    """AlexNet and ZFNet differ in two convolutions, and in what follows each: `between`."""

    def __init__(self, conv1: nn.Module, conv2: nn.Module, between: nn.Module, num_classes: int, columns: int = 1):
        super().__init__()
        self.conv1 = conv1
        self.conv2 = conv2
        self.between = between
        self.conv3 = nn.Conv2d(256, 384, 3, padding=1)
        self.conv4 = nn.Conv2d(384, 384, 3, padding=1, groups=columns)
        self.conv5 = nn.Conv2d(384, 256, 3, padding=1, groups=columns)
        self.dropout = nn.Dropout(0.5)
        self.fc6 = nn.Linear(256 * 6 * 6, 4096)
        self.fc7 = nn.Linear(4096, 4096)
        self.fc8 = nn.Linear(4096, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.between(_relu(self.conv1(x)))
        x = self.between(_relu(self.conv2(x)))
        x = _relu(self.conv5(_relu(self.conv4(_relu(self.conv3(x))))))
        x = torch.flatten(F.max_pool2d(x, 3, 2), 1)
        x = _relu(self.fc6(self.dropout(x)))
        return self.fc8(_relu(self.fc7(self.dropout(x))))


def alexnet(num_classes: int = 1000, columns: int = 2) -> nn.Module:
    """Krizhevsky, Sutskever and Hinton (2012) on [batch, 3, 227, 227]; its two columns are groups of convolutions."""
    conv1 = nn.Conv2d(3, 96, 11, stride=4)
    conv2 = nn.Conv2d(96, 256, 5, padding=2, groups=columns)
    between = nn.Sequential(_response_norm(k=2.0), nn.MaxPool2d(3, 2))
    return _he_normal(EightLayers(conv1, conv2, between, num_classes, columns))


def zfnet(num_classes: int = 1000) -> nn.Module:
    """Zeiler and Fergus (2013, arXiv:1311.2901), fig. 3, on [batch, 3, 224, 224]."""
    conv1 = nn.Conv2d(3, 96, 7, stride=2, padding=1)
    conv2 = nn.Conv2d(96, 256, 5, stride=2)
    between = nn.Sequential(nn.MaxPool2d(3, 2, padding=1), _response_norm(k=2.0))
    return _he_normal(EightLayers(conv1, conv2, between, num_classes))


def alexnet_fig1(num_classes: int = 10, channels: int = 3, activation: str = "relu") -> nn.Module:
    """The four-layer net behind fig. 1 of Krizhevsky et al. (2012), "relu" or "tanh", on [batch, channels, 32, 32]."""
    activate = {"relu": nn.ReLU(), "tanh": nn.Tanh()}[activation]
    average = nn.AvgPool2d(3, 2, padding=1, count_include_pad=False)
    layers = OrderedDict(
        **{"conv1": nn.Conv2d(channels, 32, 5, padding=2), "pool1": nn.MaxPool2d(3, 2, padding=1), "act1": activate},
        **{"conv2": nn.Conv2d(32, 32, 5, padding=2), "act2": activate, "pool2": average},
        **{"conv3": nn.Conv2d(32, 64, 5, padding=2), "act3": activate, "pool3": average},
        **{"flat": nn.Flatten(), "fc": nn.Linear(64 * 4 * 4, num_classes)},
    )
    network = nn.Sequential(layers)
    return _he_normal(network) if activation == "relu" else network


class Classifier(nn.Module):
    def __init__(self, features: list[nn.Module], pooled: int, classifier: list[nn.Module]):
        super().__init__()
        self.features = nn.Sequential(*features)
        self.avgpool = nn.AdaptiveAvgPool2d(pooled)
        self.classifier = nn.Sequential(*classifier)

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(torch.flatten(self.avgpool(self.features(x)), 1))


def alexnet_one_column(num_classes: int = 1000) -> nn.Module:
    """torchvision's `alexnet`, the single column of Krizhevsky (2014, arXiv:1404.5997), on [batch, 3, 224, 224]."""
    features = [
        *(nn.Conv2d(3, 64, 11, stride=4, padding=2), nn.ReLU(inplace=True), nn.MaxPool2d(3, 2)),
        *(nn.Conv2d(64, 192, 5, padding=2), nn.ReLU(inplace=True), nn.MaxPool2d(3, 2)),
        *(nn.Conv2d(192, 384, 3, padding=1), nn.ReLU(inplace=True)),
        *(nn.Conv2d(384, 256, 3, padding=1), nn.ReLU(inplace=True)),
        *(nn.Conv2d(256, 256, 3, padding=1), nn.ReLU(inplace=True), nn.MaxPool2d(3, 2)),
    ]
    classifier = [
        *(nn.Dropout(0.5), nn.Linear(256 * 6 * 6, 4096), nn.ReLU(inplace=True)),
        *(nn.Dropout(0.5), nn.Linear(4096, 4096), nn.ReLU(inplace=True)),
        nn.Linear(4096, num_classes),
    ]
    return _he_normal(Classifier(features, 6, classifier))


def vgg(depth: int, batch_norm: bool = False, num_classes: int = 1000) -> nn.Module:
    """Simonyan and Zisserman (2014, arXiv:1409.1556), depth 11, 13, 16 or 19, on [batch, 3, 224, 224]."""
    stages = {11: (1, 1, 2, 2, 2), 13: (2, 2, 2, 2, 2), 16: (2, 2, 3, 3, 3), 19: (2, 2, 4, 4, 4)}[depth]
    features: list[nn.Module] = []
    in_channels = 3
    for convolutions, channels in zip(stages, (64, 128, 256, 512, 512), strict=True):
        for _ in range(convolutions):
            features.append(nn.Conv2d(in_channels, channels, 3, padding=1))
            features += [nn.BatchNorm2d(channels)] if batch_norm else []
            features.append(nn.ReLU(inplace=True))
            in_channels = channels
        features.append(nn.MaxPool2d(2, 2))
    classifier = [
        *(nn.Linear(512 * 7 * 7, 4096), nn.ReLU(inplace=True), nn.Dropout(0.5)),
        *(nn.Linear(4096, 4096), nn.ReLU(inplace=True), nn.Dropout(0.5)),
        nn.Linear(4096, num_classes),
    ]
    return _he_normal(Classifier(features, 7, classifier))


# Szegedy et al. (2014), table 1: input, 1x1, 3x3 reduce, 3x3, 5x5 reduce, 5x5, pool projection
INCEPTIONS = {
    "inception3a": (192, 64, 96, 128, 16, 32, 32),
    "inception3b": (256, 128, 128, 192, 32, 96, 64),
    "inception4a": (480, 192, 96, 208, 16, 48, 64),
    "inception4b": (512, 160, 112, 224, 24, 64, 64),
    "inception4c": (512, 128, 128, 256, 24, 64, 64),
    "inception4d": (512, 112, 144, 288, 32, 64, 64),
    "inception4e": (528, 256, 160, 320, 32, 128, 128),
    "inception5a": (832, 256, 160, 320, 32, 128, 128),
    "inception5b": (832, 384, 192, 384, 48, 128, 128),
}


class BasicConv2d(nn.Module):
    def __init__(self, in_channels: int, channels: int, width: int, batch_norm: bool, stride: int = 1):
        super().__init__()
        self.conv = nn.Conv2d(in_channels, channels, width, stride, padding=width // 2, bias=not batch_norm)
        self.bn = nn.BatchNorm2d(channels, eps=0.001) if batch_norm else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return _relu(self.bn(self.conv(x)))


class Inception(nn.Module):
    def __init__(self, sizes: tuple[int, ...], torchvision: bool):
        super().__init__()
        inputs, one, three_reduced, three, five_reduced, five, projected = sizes
        width = 3 if torchvision else 5  # torchvision's checkpoint comes from a TensorFlow model without any 5x5
        reduce3 = BasicConv2d(inputs, three_reduced, 1, torchvision)
        reduce5 = BasicConv2d(inputs, five_reduced, 1, torchvision)
        project = BasicConv2d(inputs, projected, 1, torchvision)
        self.branch1 = BasicConv2d(inputs, one, 1, torchvision)
        self.branch2 = nn.Sequential(reduce3, BasicConv2d(three_reduced, three, 3, torchvision))
        self.branch3 = nn.Sequential(reduce5, BasicConv2d(five_reduced, five, width, torchvision))
        self.branch4 = nn.Sequential(nn.MaxPool2d(3, 1, padding=1), project)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([self.branch1(x), self.branch2(x), self.branch3(x), self.branch4(x)], 1)


class InceptionAux(nn.Module):
    def __init__(self, in_channels: int, num_classes: int, torchvision: bool):
        super().__init__()
        self.pool = nn.AdaptiveAvgPool2d(4) if torchvision else nn.AvgPool2d(5, stride=3)
        self.conv = BasicConv2d(in_channels, 128, 1, torchvision)
        self.fc1 = nn.Linear(128 * 4 * 4, 1024)
        self.dropout = nn.Dropout(0.7)
        self.fc2 = nn.Linear(1024, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.flatten(self.conv(self.pool(x)), 1)
        return self.fc2(self.dropout(_relu(self.fc1(x))))


class GoogLeNet(nn.Module):
    def __init__(self, num_classes: int, torchvision: bool, auxiliary: bool):
        super().__init__()
        self.conv1 = BasicConv2d(3, 64, 7, torchvision, stride=2)
        self.conv2 = BasicConv2d(64, 64, 1, torchvision)
        self.conv3 = BasicConv2d(64, 192, 3, torchvision)
        self.norm = nn.Identity() if torchvision else _response_norm(k=1.0)
        for name, sizes in INCEPTIONS.items():
            setattr(self, name, Inception(sizes, torchvision))
        self.pool = nn.MaxPool2d(3, 2, ceil_mode=True)
        self.pool4 = nn.MaxPool2d(2 if torchvision else 3, 2, ceil_mode=True)
        self.aux1 = InceptionAux(512, num_classes, torchvision) if auxiliary else None
        self.aux2 = InceptionAux(528, num_classes, torchvision) if auxiliary else None
        self.dropout = nn.Dropout(0.2 if torchvision else 0.4)
        self.fc = nn.Linear(1024, num_classes)

    def forward(self, x: Tensor) -> Tensor | tuple[Tensor, Tensor, Tensor]:
        x = self.norm(self.pool(self.conv1(x)))
        x = self.pool(self.norm(self.conv3(self.conv2(x))))
        x = self.pool(self.inception3b(self.inception3a(x)))
        after_4a = self.inception4a(x)
        after_4d = self.inception4d(self.inception4c(self.inception4b(after_4a)))
        x = self.pool4(self.inception4e(after_4d))
        x = self.inception5b(self.inception5a(x))
        logits = self.fc(self.dropout(torch.flatten(F.adaptive_avg_pool2d(x, 1), 1)))
        if self.training and self.aux1 is not None:
            return logits, self.aux2(after_4d), self.aux1(after_4a)
        return logits


def googlenet(num_classes: int = 1000, form: str = "torchvision", auxiliary: bool = True) -> nn.Module:
    """Szegedy et al. (2014, arXiv:1409.4842) on [batch, 3, 224, 224].

    `form="paper"` has biases and response normalization, "torchvision" batch normalization and torchvision's other
    departures, but never its `transform_input`. Training with `auxiliary` returns three logits: the network's, those of
    `aux2`, those of `aux1`. Otherwise there are the network's only.
    """
    return _he_normal(GoogLeNet(num_classes, {"torchvision": True, "paper": False}[form], auxiliary))


class PaddedIdentity(nn.Module):
    """He et al. (2015), option A: every `stride`-th pixel, and zeros on the channels that are new."""

    def __init__(self, new_channels: int, stride: int):
        super().__init__()
        self.new_channels = new_channels
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        return F.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, 0, self.new_channels))


def _shortcut(kind: str, in_channels: int, channels: int, stride: int) -> nn.Module | None:
    if kind not in ("A", "B", "none"):
        raise ValueError(f'shortcut is "A", "B" or "none", not {kind!r}')
    if kind == "none":
        return None
    if stride == 1 and in_channels == channels:
        return nn.Identity()
    if kind == "A":
        return PaddedIdentity(channels - in_channels, stride)
    return nn.Sequential(nn.Conv2d(in_channels, channels, 1, stride, bias=False), nn.BatchNorm2d(channels))


class SqueezeExcitation(nn.Module):
    def __init__(self, channels: int):
        super().__init__()
        self.fc1 = nn.Conv2d(channels, channels // 16, 1)
        self.fc2 = nn.Conv2d(channels // 16, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.sigmoid(self.fc2(_relu(self.fc1(x.mean((2, 3), keepdim=True)))))


class BasicBlock(nn.Module):
    expansion = 1

    def __init__(self, in_channels: int, channels: int, stride: int, shortcut: str):
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, channels, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.downsample = _shortcut(shortcut, in_channels, channels, stride)

    def forward(self, x: Tensor) -> Tensor:
        out = self.bn2(self.conv2(_relu(self.bn1(self.conv1(x)))))
        return _relu(out if self.downsample is None else out + self.downsample(x))


class Bottleneck(nn.Module):
    expansion = 4

    def __init__(self, in_channels: int, channels: int, stride: int, shortcut: str, stride_in="3x3", se=False):
        super().__init__()
        first, second = {"1x1": (stride, 1), "3x3": (1, stride)}[stride_in]
        self.conv1 = nn.Conv2d(in_channels, channels, 1, first, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, second, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.conv3 = nn.Conv2d(channels, 4 * channels, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(4 * channels)
        self.se = SqueezeExcitation(4 * channels) if se else nn.Identity()
        self.downsample = _shortcut(shortcut, in_channels, 4 * channels, stride)

    def forward(self, x: Tensor) -> Tensor:
        out = _relu(self.bn2(self.conv2(_relu(self.bn1(self.conv1(x))))))
        out = self.se(self.bn3(self.conv3(out)))
        return _relu(out if self.downsample is None else out + self.downsample(x))


class ResNet(nn.Module):
    """`layer1`, `layer2`, ...: stages of `blocks[i]` blocks, the first `width` channels wide, each next twice that."""

    def __init__(self, stem: nn.Module, pool: nn.Module, block: type, blocks: tuple, num_classes: int, **options):
        super().__init__()
        channels = width = stem.out_channels
        self.conv1 = stem
        self.bn1 = nn.BatchNorm2d(channels)
        self.pool = pool
        self.stages = [f"layer{index + 1}" for index in range(len(blocks))]
        for name, depth in zip(self.stages, blocks, strict=True):
            stage = []
            for index in range(depth):
                stride = 2 if index == 0 and name != "layer1" else 1
                stage.append(block(channels, width, stride, **options))
                channels = width * block.expansion
            setattr(self, name, nn.Sequential(*stage))
            width *= 2
        self.fc = nn.Linear(channels, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.pool(_relu(self.bn1(self.conv1(x))))
        for name in self.stages:
            x = getattr(self, name)(x)
        return self.fc(torch.flatten(F.adaptive_avg_pool2d(x, 1), 1))


def _imagenet_resnet(block: type, blocks: tuple, num_classes: int, **options) -> nn.Module:
    stem = nn.Conv2d(3, 64, 7, stride=2, padding=3, bias=False)
    return _he_normal(ResNet(stem, nn.MaxPool2d(3, 2, padding=1), block, blocks, num_classes, **options))


def resnet(depth: int, num_classes: int = 1000, shortcut: str = "B", stride_in: str = "3x3") -> nn.Module:
    """He et al. (2015, arXiv:1512.03385), depth 18, 34, 50, 101 or 152, on [batch, 3, 224, 224].

    Shortcuts that change shape are projections ("B", as torchvision's) or parameter-free ("A"); with "none" the net is
    plain. From 50 layers on, a bottleneck strides in its 3x3 convolution (torchvision) or its first 1x1 (the paper).
    """
    blocks = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}[depth]
    if depth < 50:
        return _imagenet_resnet(BasicBlock, blocks, num_classes, shortcut=shortcut)
    return _imagenet_resnet(Bottleneck, blocks, num_classes, shortcut=shortcut, stride_in=stride_in)


def se_resnet50(num_classes: int = 1000) -> nn.Module:
    """Hu et al. (2017, arXiv:1709.01507), as timm's `seresnet50` has it, on [batch, 3, 224, 224]."""
    return _imagenet_resnet(Bottleneck, (3, 4, 6, 3), num_classes, shortcut="B", se=True)


def cifar_resnet(depth: int, num_classes: int = 10, shortcut: str = "A", channels: int = 3) -> nn.Module:
    """He et al. (2015), sect. 4.2, depth 6n + 2, on [batch, channels, 32, 32]; for `shortcut` see `resnet`."""
    blocks, rest = divmod(depth - 2, 6)
    if rest or blocks < 1:
        raise ValueError(f"depth is 6n + 2 (20, 32, 44, 56, 110), not {depth}")
    stem = nn.Conv2d(channels, 16, 3, padding=1, bias=False)
    return _he_normal(ResNet(stem, nn.Identity(), BasicBlock, (blocks,) * 3, num_classes, shortcut=shortcut))


@torch.no_grad()
def randomize(module: nn.Module, seed: int) -> nn.Module:
    """Makes everything that starts out trivial random, in place, and returns the module in evaluation mode.

    That is the statistics, scales and shifts of batch normalization, LeNet-5's coefficients, and every bias. Weights
    of convolutions and full layers stay as they were. The same seed gives the same numbers on every device.

    Statistics that are not the data's own normalize nothing, so each residual block would double its input. The scales
    that end the branches of n blocks are therefore divided by sqrt(n): 152 layers then leave logits of the order of 10.
    """
    generator = torch.Generator().manual_seed(seed)

    def uniform(tensor: Tensor, low: float, high: float) -> None:
        tensor.copy_(torch.empty(tensor.shape).uniform_(low, high, generator=generator))

    def normal(tensor: Tensor, deviation: float) -> None:
        tensor.copy_(torch.empty(tensor.shape).normal_(0, deviation, generator=generator))

    for part in module.modules():
        if isinstance(part, nn.BatchNorm2d):
            normal(part.running_mean, 0.3)
            uniform(part.running_var, 0.5, 1.5)
            uniform(part.weight, 0.5, 1.5)
    blocks = [part for part in module.modules() if isinstance(part, BasicBlock | Bottleneck)]
    residual = [block for block in blocks if block.downsample is not None]
    for block in residual:
        last = block.bn3 if isinstance(block, Bottleneck) else block.bn2
        last.weight /= len(residual) ** 0.5
    for name, parameter in module.named_parameters():
        if name.endswith("bias"):
            normal(parameter, 0.1)
        elif name.endswith("coefficient"):
            uniform(parameter, 0.125, 0.375)  # about a quarter, as a mean of the 2x2 block has it
    return module.eval()
