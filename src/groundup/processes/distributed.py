"""Many processes that train one model: the only file that knows `torch.distributed`.

A launcher starts the same command several times and tells each process RANK, WORLD_SIZE,
LOCAL_RANK, LOCAL_WORLD_SIZE, MASTER_ADDR and MASTER_PORT. What one process alone would do,
`groundup.processes.alone` says; here are the same methods for many.

    Ranks            processes that know of each other, and can ask all
    ├── Replicated   each has the whole model; gradients are averaged (DDP)
    ├── Sharded      each has a part of every parameter (FSDP2)
    └── ExactRanks   each has the whole model; gradients are summed in a fixed tree
"""

from __future__ import annotations

import contextlib
import json
import os
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from datetime import timedelta
from typing import Any, cast

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed import PrefixStore, Store, TCPStore  # type: ignore[attr-defined]
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import (
    FSDPModule,
    MixedPrecisionPolicy,
    fully_shard,
    register_fsdp_forward_method,
)
from torch.distributed.tensor import DTensor, Replicate
from torch.nn.parallel import DistributedDataParallel

from groundup.base.errors import GroundupError
from groundup.config import TrainConfig
from groundup.model import GPT, filled_gpt
from groundup.processes.alone import Alone, HowFar, T
from groundup.processes.deadline import Deadline
from groundup.processes.exact import Exact
from groundup.processes.heartbeat import Heartbeat
from groundup.processes.launch import Place

STARTING = timedelta(minutes=10)
"""How long the processes look for the one that keeps their store."""
ANSWERING = timedelta(seconds=5)
"""The same where a launcher keeps it, as it did before it started them: else it is gone."""
LATE = 10.0
"""Seconds after which a process says that it waits for the others to be there."""


class Ranks(Alone):
    """The processes of a training, each with its rank from 0 to size - 1."""

    def __init__(
        self, place: Place, store: Store, heartbeat: Heartbeat, deadline: Deadline
    ) -> None:
        self.place, self.store, self.heartbeat, self.deadline = place, store, heartbeat, deadline
        self.rank, self.size = place.rank, place.size
        self.decisions = 0

    def broadcast(self, decide: Callable[[], Any]) -> Any:
        """Let the first process decide something, as plain JSON; return it in every one.

        However long that takes: nobody waits in a collective. If it fails there, all fail.
        """
        self.decisions += 1
        key = f"decided/{self.decisions}"
        if self.rank == 0:
            try:
                said: dict[str, Any] = {"decided": decide()}
            except BaseException as error:
                status = getattr(error, "exit_status", 1)
                said = {"failed": str(error), "status": status}
                said["is_said"] = getattr(error, "is_said", False)
                if isinstance(error, GroundupError):
                    error.known_to_all = True
                self.store.set(key, json.dumps(said))
                if not _launcher_keeps_store():
                    self.heartbeat.go_last()  # else they would only find it gone
                raise
            self.store.set(key, json.dumps(said))
            return said["decided"]
        while (text := self.heartbeat.read(key)) is None:
            lost = self.heartbeat.lost(self.heartbeat.patience)
            if lost and self.heartbeat.read(key) is None:
                raise lost
            time.sleep(0.05)
        said = json.loads(text)
        if "failed" in said:
            failure = GroundupError(f"rank 0: {said['failed']}")
            failure.exit_status, failure.is_said = said["status"], said["is_said"]
            failure.known_to_all = True
            raise failure
        return said["decided"]

    def connect(self, device: torch.device, timeout: float) -> None:
        """Connect the processes, to send tensors; none waits for longer than `timeout` seconds."""
        if device.type == "cuda":
            torch.cuda.set_device(self.place.local_rank % torch.cuda.device_count())
        self.heartbeat.meet("connect")
        dist.init_process_group(
            "nccl" if device.type == "cuda" else "gloo",
            store=PrefixStore("groundup", self.store),
            rank=self.rank,
            world_size=self.size,
            timeout=timedelta(seconds=timeout),
        )
        self.device = device

    def watch(self, how_far: HowFar) -> None:
        """Note what to ask, when something happens, how far the training is."""
        self.heartbeat.how_far = self.deadline.how_far = how_far

    def stopping(self) -> None:
        """Note that all have agreed to stop."""
        self.deadline.agreed()

    def total(self, rows: list[Tensor]) -> Tensor:
        """Return the sum of the rows (n,) of all passes of all processes."""
        values = torch.stack(rows).sum(dim=0)
        dist.all_reduce(values)
        return values

    def add(self, values: Tensor) -> Tensor:
        """Return the sum of each process's `values`."""
        values = values.to(self.device)
        dist.all_reduce(values)
        return values

    def agree(self, *wishes: int) -> tuple[int, ...]:
        """Return the largest of each wish that any process has."""
        asked = torch.tensor(wishes, dtype=torch.int32, device=self.device)
        dist.all_reduce(asked, dist.ReduceOp.MAX)
        return tuple(asked.tolist())


class Replicated(Ranks):
    """Every process has the whole model, and its part of each step's samples."""

    def wrap(
        self, step: nn.Module, blocks: Sequence[nn.Module] = (), may_leave_unused: bool = False
    ) -> Callable[..., tuple[Tensor, Tensor]]:
        """Return what to call for a forward pass of `step`, so that gradients are synchronised."""
        self.divisor = float(self.size)
        # DDP lays gradients out anew after its first step, unless it looks for unused parameters;
        # three processes or more then sum in another order, and a resumed run would differ from one
        # that was never stopped.
        exact = self.device.type == "cpu" or torch.are_deterministic_algorithms_enabled()
        search = may_leave_unused or (exact and self.size > 2)
        self._wrapped = DistributedDataParallel(step, find_unused_parameters=search)
        return self._wrapped

    def pass_context(self, last: bool) -> AbstractContextManager[Any]:
        """Return the context of a pass: gradients are synchronised in the last one only."""
        return nullcontext() if last else self._wrapped.no_sync()


class Sharded(Ranks):
    """Every process has a part of each parameter, of its gradient and of the optimizer's memory."""

    def wrap(
        self, step: nn.Module, blocks: Sequence[nn.Module] = (), may_leave_unused: bool = False
    ) -> Callable[..., tuple[Tensor, Tensor]]:
        """Return what to call for a forward pass of `step`, so that gradients are synchronised."""
        mesh = init_device_mesh(self.device.type, (self.size,))
        policy = MixedPrecisionPolicy()  # autocast narrows, as everywhere
        for block in blocks:
            fully_shard(block, mesh=mesh, mp_policy=policy)
        self._sharded = fully_shard(step, mesh=mesh, mp_policy=policy)
        for module in step.modules():
            if isinstance(module, FSDPModule):
                module.set_gradient_divide_factor(1.0)
                module.set_force_sum_reduction_for_comms(True)  # gloo knows no other
        register_fsdp_forward_method(step, "within")
        self._within: Callable[..., Any] = getattr(step, "within")  # noqa: B009
        # The parts: between a forward pass and the next, a module may show whole ones.
        self._parameters = {module: dict(module.named_parameters()) for module in step.modules()}
        return step

    def within(self, function: Callable[[], T]) -> T:
        """Call a function that uses the model itself; all processes call it at once."""
        result: T = self._within(function)
        return result

    def writer(self, model: GPT) -> GPT:
        """Return a model to write with in the first process: one of its own, of whole tensors."""
        tensors = {}
        for name, parameter in self._parameters[model].items():
            whole = self.whole(self.local(parameter), parameter)
            if self.rank == 0:
                tensors[name] = whole.detach()
        return filled_gpt(model.config, tensors, model.parts) if self.rank == 0 else model

    def pass_context(self, last: bool) -> AbstractContextManager[Any]:
        """Return the context of a pass: gradients are synchronised in the last one only."""
        self._sharded.set_requires_gradient_sync(last)
        return nullcontext()

    def norm(self, gradients: list[Tensor]) -> Tensor:
        """Return the norm of the whole gradient."""
        square = super().norm(gradients).square()
        dist.all_reduce(square)
        return square.sqrt()

    def local(self, tensor: Tensor) -> Tensor:
        """Return what this process has of a tensor that may be spread, in the same memory."""
        return tensor.to_local() if isinstance(tensor, DTensor) else tensor

    def whole(self, part: Tensor, like: Tensor) -> Tensor:
        """Return the whole of which each process has a part, spread as `like` is."""
        spread = cast("DTensor", like)
        return DTensor.from_local(
            part,
            spread.device_mesh,
            spread.placements,
            run_check=False,
            shape=like.shape,
            stride=like.stride(),
        ).full_tensor()

    def part_of(self, whole: Tensor, like: Tensor) -> Tensor:
        """Return this process's part of a whole tensor, spread as `like` is."""
        spread, everywhere = cast("DTensor", like), [Replicate()]
        whole = DTensor.from_local(
            whole.to(self.device), spread.device_mesh, everywhere, run_check=False
        )
        return whole.redistribute(placements=spread.placements).to_local()


class ExactRanks(Exact, Ranks):
    """Every process has the whole model; sums are those of one process, bit for bit."""

    def exchange(self, vector: Tensor, partner: int) -> Tensor:
        """Return the vector of `partner`, who gets this one."""
        other = torch.empty_like(vector)
        sends = [dist.P2POp(dist.isend, vector, partner), dist.P2POp(dist.irecv, other, partner)]
        for work in dist.batch_isend_irecv(sends):
            work.wait()
        return other

    def collect(self, rows: Tensor) -> Tensor:
        """Return the rows of all processes, in the order of their ranks."""
        all_rows = [torch.empty_like(rows) for _ in range(self.size)]
        dist.all_gather(all_rows, rows)
        return torch.cat(all_rows)


@contextlib.contextmanager
def joined(place: Place, timeout: float, notice: Callable[[str], None]) -> Iterator[Ranks]:
    """Find the other processes; yield what this one is among them."""
    text = f"rank {place.rank} of {place.size} waits for the others at {place.host}:{place.port}"
    with Deadline() as deadline:
        late = threading.Timer(LATE, notice, [text])
        late.daemon = True
        late.start()
        store = _met(place)
        heartbeat = Heartbeat(
            cast("Any", store), place.rank, place.size, timeout
        )  # its stubs lack clone()
        with heartbeat.guarded():
            late.cancel()
            yield Ranks(place, store, heartbeat, deadline)
        if dist.is_initialized():  # not after an error: it would wait for those who are no more
            dist.destroy_process_group()


def arrange(ranks: Alone, config: TrainConfig, device: torch.device) -> Ranks:
    """Return the same processes, connected, and working together as the settings say."""
    assert isinstance(ranks, Ranks), "there is more than one"
    kind: type[Ranks] = Replicated
    if config.exact == "on":
        kind = ExactRanks
    elif config.shard == "on":
        kind = Sharded
    arranged = kind(ranks.place, ranks.store, ranks.heartbeat, ranks.deadline)
    arranged.connect(device, config.timeout)
    return arranged


def _met(place: Place) -> Store:
    """Return what all processes can read and write, once all of them are there."""
    try:
        return _own_part(_store(place), place)
    except RuntimeError as error:
        reason = str(error).partition("\n")[0]
        if _launcher_keeps_store():
            gone = GroundupError(
                f"the launcher, through which {place.size} processes meet at "
                f"{place.host}:{place.port}, has ended ({reason}); the same command goes on"
            )
            gone.known_to_all = True
            raise gone from error
        raise GroundupError(
            f"rank {place.rank}: no meeting of {place.size} processes at {place.host}:{place.port} "
            f"({reason}); MASTER_ADDR and MASTER_PORT must name the host of rank 0 and a free port"
        ) from error


def _store(place: Place) -> Store:
    """Return their store, which rank 0 keeps where its launcher does not.

    PyTorch's own rendezvous would have rank 0 wait for the others where no signal is heard.
    """
    is_kept = _launcher_keeps_store()
    store = TCPStore(
        place.host,
        place.port,
        is_master=place.rank == 0 and not is_kept,
        timeout=ANSWERING if is_kept else STARTING,
        wait_for_workers=False,
        multi_tenant=True,
    )
    store.set_timeout(STARTING)
    return store


def _launcher_keeps_store() -> bool:
    return os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True"


def _own_part(store: Store, place: Place) -> Store:
    """Return a part of the store that these processes alone use, once all of them are there.

    A launcher that starts all again may keep its store, with what was said there before. So each
    process takes a name, and follows the first one when that has called it by this name.
    """
    own, others = uuid.uuid4().hex, range(1, place.size)
    if place.rank == 0:
        while not store.check([f"{own}/{rank}" for rank in others]):
            here = [rank for rank in others if store.check([f"name/{rank}"])]
            names = {rank: store.get(f"name/{rank}").decode() for rank in here}
            store.set("called", json.dumps({"part": own, "names": names}))
            time.sleep(0.02)
        return PrefixStore(own, store)
    store.set(f"name/{place.rank}", own)
    while True:
        called = json.loads(store.get("called")) if store.check(["called"]) else {"names": {}}
        if called["names"].get(str(place.rank)) == own:
            store.set(f"{called['part']}/{place.rank}", "")
            return PrefixStore(called["part"], store)
        time.sleep(0.02)
