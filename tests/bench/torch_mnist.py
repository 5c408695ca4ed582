#!/usr/bin/env python3
"""PyTorch's training speed on the network of `dtrain --model cnn`: images/s of whole training steps.

Everything that is known to help PyTorch on a CPU is done: the data lie in memory, normalised and in the type that is
computed with, so that a batch is one index_select and no DataLoader is in the way; the optimizer is the fused one;
nothing is read back from a step. Warm-up, and so all compiling, is outside of the time. One process measures one
variant; with ddp it is rank 0 and starts the other ranks, which share the threads and the batch. The last line of
stdout is one JSON object.
"""
import argparse
import datetime
import gzip
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time

import torch
import torch.nn.functional as F
from torch import nn


def read_idx(folder, name):
    for path in (folder / name, folder / name.replace("-idx", ".idx"), folder / (name + ".gz")):
        if path.exists():
            raw = (gzip.open if path.suffix == ".gz" else open)(path, "rb").read()
            shape = [int.from_bytes(raw[4 + 4 * i : 8 + 4 * i], "big") for i in range(raw[3])]
            return torch.frombuffer(bytearray(raw[4 + 4 * raw[3] :]), dtype=torch.uint8).view(shape)
    sys.exit(f"torch_mnist.py: {folder} has no {name}; launch/fetch-data.sh gets it")


def network():
    return nn.Sequential(
        nn.Conv2d(1, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(32, 64, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(64 * 7 * 7, 128), nn.ReLU(), nn.Linear(128, 10),
    )  # fmt: skip


class Trainer:
    def __init__(self, args, rank, ranks):
        torch.manual_seed(1)
        torch.set_num_threads(args.threads // ranks)
        dtype = torch.float32 if args.precision == "f32" else torch.bfloat16
        layout = torch.channels_last if args.channels_last else torch.contiguous_format
        pixels = read_idx(args.data, "train-images-idx3-ubyte").unsqueeze(1).float() / 255
        self.x = ((pixels - pixels.mean()) / pixels.std()).to(dtype).contiguous(memory_format=layout)
        self.y = read_idx(args.data, "train-labels-idx1-ubyte").long()
        self.share = args.batch // ranks
        self.first, self.batch = rank * self.share, args.batch
        self.autocast = args.precision == "autocast"
        self.model = network().to(memory_format=layout)
        if args.precision == "bf16":
            self.model = self.model.to(torch.bfloat16)
        forward = self.model
        if ranks > 1:
            forward = nn.parallel.DistributedDataParallel(forward, gradient_as_bucket_view=True, static_graph=True)
        self.forward = torch.compile(forward) if args.compile else forward
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=0.004, weight_decay=0.0, fused=True)
        total = args.warmup + args.steps
        self.schedule = torch.optim.lr_scheduler.OneCycleLR(self.optimizer, max_lr=0.004, total_steps=total)
        self.order, self.at = torch.randperm(len(self.y)), 0

    def step(self):
        if self.at + self.batch > len(self.y):
            self.order, self.at = torch.randperm(len(self.y)), 0
        begin = self.at + self.first
        rows = self.order[begin : begin + self.share]
        self.at += self.batch
        x, y = self.x[rows], self.y[rows]
        with torch.autocast("cpu", torch.bfloat16, enabled=self.autocast):
            loss = F.cross_entropy(self.forward(x).float(), y)
        loss.backward()
        self.optimizer.step()
        self.schedule.step()
        self.optimizer.zero_grad(set_to_none=True)
        return loss


def run(args, rank, ranks):
    trainer = Trainer(args, rank, ranks)
    for _ in range(args.warmup):
        loss = trainer.step()
    begin = time.perf_counter()
    for _ in range(args.steps):
        loss = trainer.step()
    seconds = time.perf_counter() - begin  # with ddp no rank is ahead of another: each step is an all-reduce
    if not loss.item() < 1:  # the first ones are above 2.3
        sys.exit(f"torch_mnist.py: did not learn: loss {loss.item()} after {args.warmup + args.steps} steps")
    if rank == 0:
        rate = args.steps * args.batch / seconds
        print(json.dumps({"images_per_second": rate, "loss": loss.item(), "torch": torch.__version__}))


def run_rank(args, rank, store):
    wait = datetime.timedelta(minutes=2)
    torch.distributed.init_process_group("gloo", init_method=store, rank=rank, world_size=args.ddp, timeout=wait)
    run(args, rank, args.ddp)


def leave():
    """Without taking gloo down: its threads may still run then, and now and then that ends in abort()."""
    sys.stdout.flush()
    os._exit(0)


def run_ddp(args):
    """Rank 0 is this process; the others get the same arguments, and who they are from the environment."""
    if "BENCH_RANK" in os.environ:
        run_rank(args, int(os.environ["BENCH_RANK"]), os.environ["BENCH_STORE"])
        leave()
    os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    with tempfile.TemporaryDirectory() as folder:
        store, others = f"file://{folder}/store", []
        for rank in range(1, args.ddp):
            env = {**os.environ, "BENCH_RANK": str(rank), "BENCH_STORE": store}
            others.append(subprocess.Popen([sys.executable, *sys.argv], env=env))
        run_rank(args, 0, store)
        if any([other.wait() for other in others]):
            sys.exit("torch_mnist.py: a rank failed")
    leave()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=pathlib.Path, default=pathlib.Path("data/mnist"))
    parser.add_argument("--precision", choices=("f32", "autocast", "bf16"), default="f32")
    parser.add_argument("--channels-last", action="store_true")
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--ddp", type=int, default=1, metavar="RANKS")
    parser.add_argument("--threads", type=int, default=2, help="of all ranks together")
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--warmup", type=int, default=10)
    parser.add_argument("--steps", type=int, default=50)
    args = parser.parse_args()
    run_ddp(args) if args.ddp > 1 else run(args, 0, 1)


main()
