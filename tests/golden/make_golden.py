#!/usr/bin/env python3
"""Write golden.bin and values.h: what PyTorch computes, for test_golden.c, test_optim.c and test_schedule.c.

Needs torch (made with 2.13.0, CPU) and numpy; run it in this folder. Everything is computed in float64 from
float32 parameters, so that the files hold the truth and not one library's rounding. Networks are built
from dtrain's own words by the few lines below.

golden.bin: records (name: 32 bytes, NUL padded; type: 'b' or 'f' or 'd'; 3 bytes 0; count: uint32, little-endian; data),
where b is uint8, f float32, d float64.
"""
import struct

import numpy as np
import torch
from torch import nn

torch.manual_seed(20260101)
torch.set_default_dtype(torch.float64)
torch.use_deterministic_algorithms(True)

NETS = {
    "a": "conv 4 3; relu; pool 2; conv 6 3; relu; pool 2; fc 16; relu; fc 10",
    "b": "pool 2 avg; conv 5 5 stride 2 pad 1; relu; pool 3 avg stride 2 pad 1; conv 3 2; pool 3 stride 1 pad 1; fc 10",
}
RUNS = {  # name: (optimizer, label smoothing); ten steps of net a on the whole batch
    "sgd": (lambda p: torch.optim.SGD(p, lr=0.15, momentum=0.9, weight_decay=5e-4), 0.0),
    "nesterov": (lambda p: torch.optim.SGD(p, lr=0.15, momentum=0.9, weight_decay=5e-4, nesterov=True), 0.1),
    "adamw": (lambda p: torch.optim.AdamW(p, lr=1e-2, betas=(0.9, 0.99), eps=1e-8, weight_decay=0.02), 0.0),
    "adamw_smooth": (lambda p: torch.optim.AdamW(p, lr=1e-2, betas=(0.9, 0.99), eps=1e-8, weight_decay=0.02), 0.1),
}
N, MEAN, STD, STEPS = 32, 0.25, 0.25, 10


def build(spec):
    layers, shape = [], torch.zeros(1, 1, 28, 28)
    for words in (layer.split() for layer in spec.split(";")):
        kind, numbers = words[0], [int(w) for w in words[1:] if w.isdigit()]
        option = {w: int(words[i + 1]) for i, w in enumerate(words) if w in ("stride", "pad")}
        if kind == "conv":
            c, k = numbers[:2]
            new = [nn.Conv2d(shape.shape[1], c, k, option.get("stride", 1), option.get("pad", k // 2))]
        elif kind == "pool":
            pool = nn.AvgPool2d if "avg" in words else nn.MaxPool2d
            new = [pool(numbers[0], option.get("stride", numbers[0]), option.get("pad", 0))]
        elif kind == "fc":
            new = [nn.Flatten(), nn.Linear(shape[0].numel(), numbers[0])]
        else:
            new = [nn.ReLU()]
        for module in new:
            shape = module(shape)
        layers += new
    net = nn.Sequential(*layers)
    for p in net.parameters():  # what float32 can hold
        p.data = p.data.float().double()
    return net


def flat(tensors):
    return torch.cat([t.detach().reshape(-1) for t in tensors]).numpy()


def make_data():
    """Digit-like: a bright stroke at a place that depends on the label, on noise."""
    labels = torch.arange(N) * 7 % 10
    images = torch.randint(0, 60, (N, 1, 28, 28))
    for i, label in enumerate(labels.tolist()):
        x, y = 2 + 2 * label, 3 + (5 * label + i) % 14
        images[i, 0, y : y + 9, x : x + 5] += torch.randint(80, 190, (9, 5))
    return images.clamp(0, 255), labels


def main():
    images, labels = make_data()
    x = (images / 255.0 - MEAN) / STD
    x = x.float().double()
    out = {"images": images.numpy().astype("u1"), "labels": labels.numpy().astype("u1"), "mean_std": np.array([MEAN, STD])}
    for name, spec in NETS.items():
        net = build(spec)
        out[f"{name}.spec"] = np.frombuffer(spec.encode(), "u1")
        out[f"{name}.params"] = flat(net.parameters()).astype("f4")
        out[f"{name}.logits"] = net(x).detach().numpy().astype("f4")
        for smoothing in (0.0, 0.1):
            net.zero_grad()
            loss = nn.functional.cross_entropy(net(x), labels, label_smoothing=smoothing, reduction="sum")
            loss.backward()
            out[f"{name}.loss.{smoothing}"] = np.array([loss.item()])
            out[f"{name}.gradient.{smoothing}"] = flat(p.grad for p in net.parameters()).astype("f4")
    start = out["a.params"].astype("f8")
    for name, (optimizer, smoothing) in RUNS.items():
        net, at, losses = build(NETS["a"]), 0, []
        for p in net.parameters():
            p.data = torch.from_numpy(start[at : at + p.numel()].reshape(tuple(p.shape)).copy())
            at += p.numel()
        step = optimizer(net.parameters())
        for _ in range(STEPS):
            step.zero_grad()
            loss = nn.functional.cross_entropy(net(x), labels, label_smoothing=smoothing)
            loss.backward()
            losses.append(loss.item())
            step.step()
        out[f"{name}.losses"] = np.array(losses)
        out[f"{name}.params"] = flat(net.parameters()).astype("f4")
    with open("golden.bin", "wb") as file:
        for name, value in out.items():
            kind = {"u1": b"b", "f4": b"f", "f8": b"d"}[value.dtype.str[1:]]
            file.write(struct.pack("<32s4sI", name.encode(), kind, value.size))
            file.write(value.tobytes())
    with open("values.h", "w") as file:
        file.write(values_header())


def table(name, rows):
    lines = "".join("    {" + ", ".join(repr(float(v)) for v in row) + "},\n" for row in rows)
    return f"__attribute__((unused)) static const double {name}[{len(rows)}][{len(rows[0])}] = {{\n{lines}}};\n"


def vector(name, values):
    lines = "".join(f"    {float(v)!r},\n" for v in values)
    return f"__attribute__((unused)) static const double {name}[{len(values)}] = {{\n{lines}}};\n"


def optimizer_path(make):
    p = torch.tensor([0.5, -1.25, 2.0, 0.001, 0.0], requires_grad=True)
    optimizer, rows = make([p]), []
    for t in range(1, 8):
        p.grad = torch.tensor([((3 * t + 5 * i) % 11 - 4) / 8 for i in range(5)])
        optimizer.step()
        rows.append(p.detach().tolist())
    return rows


def schedule_path(make, steps):
    p = torch.zeros(1, requires_grad=True)
    optimizer = torch.optim.SGD([p], lr=0.1, momentum=0.9)
    schedule, rows = make(optimizer), []
    for _ in range(steps):
        rows.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    return rows


def values_header():
    sgd, adamw, lr = torch.optim.SGD, torch.optim.AdamW, torch.optim.lr_scheduler
    text = "/* Made by make_golden.py with PyTorch; parameters after each of 7 steps, the rate at each step. */\n/* clang-format off */\n"
    paths = {
        "golden_sgd_plain": lambda p: sgd(p, lr=0.125, weight_decay=0.0625),
        "golden_sgd_momentum": lambda p: sgd(p, lr=0.125, momentum=0.875, weight_decay=0.0625),
        "golden_sgd_nesterov": lambda p: sgd(p, lr=0.125, momentum=0.875, weight_decay=0.0625, nesterov=True),
        "golden_adamw": lambda p: adamw(p, lr=0.125, betas=(0.875, 0.96875), eps=2.0**-20, weight_decay=0.0625),
    }
    for name, make in paths.items():
        text += table(name, optimizer_path(make))
    cycle = dict(max_lr=0.1, cycle_momentum=False, div_factor=25.0, final_div_factor=400.0)
    text += vector("golden_onecycle", schedule_path(lambda o: lr.OneCycleLR(o, total_steps=47, pct_start=0.3, **cycle), 47))
    text += vector("golden_onecycle_warmup", schedule_path(lambda o: lr.OneCycleLR(o, total_steps=40, pct_start=0.25, **cycle), 40))
    text += vector("golden_cosine", schedule_path(lambda o: lr.CosineAnnealingLR(o, T_max=30), 30))
    return text


if __name__ == "__main__":
    main()
