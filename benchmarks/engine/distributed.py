"""Several processes train one experiment and compute what one process would.

Each process decodes and embeds its share of a batch's clips. The embeddings are gathered, and every process computes the loss
of the whole batch from them. Layers inside a baseline that mix clips (batch normalisation, dropout) are replaced by versions
that work on the whole batch. With one process, none of this is used.

Gradients: `gather` returns to each process its rows of the gradient of the whole loss, times the number of processes. The mean
over the processes is then the gradient that one process would compute, however uneven the shares: for parameters that each
process applied to its own share, and for those that all of them applied to the whole batch.
"""

import pickle
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch import distributed as dist
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _BatchNorm

from afa import VideoFeatures
from baselines.interface.errors import UserError
from benchmarks.clips.sampling import share

T = TypeVar("T")


def rank() -> int:
    """The rank of this process, from 0."""
    return dist.get_rank() if dist.is_initialized() else 0


def world() -> int:
    """The number of processes."""
    return dist.get_world_size() if dist.is_initialized() else 1


def leads() -> bool:
    """Whether this is the process that writes files, rank 0."""
    return rank() == 0


def from_leader(make: Callable[[], T]) -> T:
    """The result of `make` in rank 0, returned in every process; whatever is raised there is raised in all processes."""
    if world() == 1:
        return make()
    outcome: list[Any] = [None, None]
    if leads():
        try:
            outcome[0] = make()
        except BaseException as error:
            _tell([None, error])
            raise
    return _tell(outcome)


def _tell(outcome: list[Any]) -> Any:
    """Send rank 0's result and error, or None, to every process. Returns the result, and raises the error in the others."""
    if outcome[1] is not None:
        outcome[1] = _portable(outcome[1])
    dist.broadcast_object_list(outcome, device=torch.device("cpu"))
    if outcome[1] is not None and not leads():
        raise outcome[1]
    return outcome[0]


def _portable(error: BaseException) -> BaseException:
    """The error, or one with its text if another process could not read it."""
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        return UserError(f"{type(error).__name__}: {error}")
    return error


@contextmanager
def led(context: AbstractContextManager[None]) -> Iterator[None]:
    """Enter `context` in rank 0 only."""
    with ExitStack() as entered:
        from_leader(lambda: entered.enter_context(context))
        yield


@contextmanager
def leader_first() -> Iterator[None]:
    """Run the block in rank 0 first and then in the others, which find the files that it wrote.

    Whatever is raised in rank 0 is raised in all processes.
    """
    if world() == 1:
        yield
        return
    if not leads():
        _tell([None, None])
        yield
        return
    try:
        yield
    except BaseException as error:
        _tell([None, error])
        raise
    _tell([None, None])


def anywhere(flag: bool) -> bool:
    """Whether `flag` is true in any process. All processes must call it."""
    if world() == 1:
        return flag
    flags = torch.tensor(int(flag))
    dist.all_reduce(flags)
    return bool(flags)


def from_all(item: T) -> list[T]:
    """The item of each process, in every process."""
    if world() == 1:
        return [item]
    items: list[Any] = [None] * world()
    dist.all_gather_object(items, item)
    return items


def largest(number: int) -> int:
    """The largest of the processes' numbers."""
    if world() == 1:
        return number
    numbers = torch.tensor(number)
    dist.all_reduce(numbers, dist.ReduceOp.MAX)
    return int(numbers)


def total(tensor: Tensor) -> Tensor:
    """Replace a tensor by its sum over the processes."""
    if world() > 1:
        dist.all_reduce(tensor)
    return tensor


class _Sum(torch.autograd.Function):
    """The sum over the processes. Its gradient is summed too: every process's loss depends on every summand."""

    @staticmethod
    def forward(_: Any, tensor: Tensor) -> Tensor:
        return total(tensor.clone(memory_format=torch.contiguous_format))

    @staticmethod
    def backward(_: Any, *gradients: Tensor) -> Tensor:
        return total(gradients[0].clone(memory_format=torch.contiguous_format))


class _Gather(torch.autograd.Function):
    """The rows of all processes, by a sum in which each process has zeros in the rows of the others."""

    @staticmethod
    def forward(context: Any, rows: Tensor, count: int) -> Tensor:
        context.mine = share(count, rank(), world())
        whole = rows.new_zeros(count, *rows.shape[1:])
        whole[context.mine] = rows
        return total(whole)

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return gradients[0][context.mine] * world(), None


def gather(features: VideoFeatures, clips: int) -> VideoFeatures:
    """The features of the whole batch of `clips` clips from each process's share, with gradients (see above)."""
    if world() == 1:
        return features

    def whole(rows: Tensor) -> Tensor:
        return _Gather.apply(rows, clips)

    weights = whole(features.weights) if features.weights is not None else None
    extras = {name: whole(rows) for name, rows in features.extras.items()}
    return VideoFeatures(whole(features.frames), whole(features.coherence), weights, extras)


def average_gradients(parameters: Iterable[nn.Parameter]) -> None:
    """Replace each gradient by its mean over the processes, in one message."""
    if world() == 1:
        return
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    mean = total(torch.cat([gradient.flatten() for gradient in gradients])).div_(world())
    for gradient, part in zip(gradients, mean.split([gradient.numel() for gradient in gradients]), strict=True):
        gradient.copy_(part.view_as(gradient))


_gathered = False  # whether the layers below are given the whole batch, as in a baseline's own losses


@contextmanager
def on_gathered_batch() -> Iterator[None]:
    """In the block, batch normalisation and dropout are given the whole batch in every process, and need no other process."""
    global _gathered
    before, _gathered = _gathered, True
    try:
        yield
    finally:
        _gathered = before


class WholeBatchNorm(_BatchNorm):
    """Batch normalisation over the shares of all processes in training; also on the CPU, which torch's SyncBatchNorm refuses."""

    def _check_input_dim(self, inputs: Tensor) -> None:
        """Accept any shape; the replaced layer had its own check."""

    def forward(self, inputs: Tensor) -> Tensor:
        if not self.training or _gathered:
            return super().forward(inputs)
        axes = [axis for axis in range(inputs.dim()) if axis != 1]
        shape = (1, -1, *[1] * (inputs.dim() - 2))
        values = inputs if inputs.dtype == torch.float64 else inputs.float()
        sums = values.sum(axes)
        # Two passes: the mean of squares would lose digits where the mean is large.
        sums = _Sum.apply(torch.cat([sums, sums.new_tensor([values.numel() / len(sums)])]))
        count = sums[-1].detach()
        mean = sums[:-1] / count
        centred = values - mean.view(shape)
        variance = _Sum.apply(centred.square().sum(axes)) / count
        if self.running_mean is not None and self.running_var is not None and self.num_batches_tracked is not None:
            with torch.no_grad():
                self.num_batches_tracked += 1
                share_of_new = self.momentum if self.momentum is not None else 1 / float(self.num_batches_tracked)
                self.running_mean.lerp_(mean, share_of_new)
                self.running_var.lerp_(variance * count / (count - 1), share_of_new)
        outputs = centred * (variance + self.eps).rsqrt().view(shape)
        if self.affine:
            outputs = outputs * self.weight.view(shape) + self.bias.view(shape)
        return outputs.to(inputs.dtype)


class WholeDropout(nn.Dropout):
    """Dropout drawn for the whole batch as one process would draw it; each share takes its rows."""

    def forward(self, inputs: Tensor) -> Tensor:
        if not self.training or _gathered:
            return super().forward(inputs)
        rows = torch.zeros(world(), dtype=torch.long)
        rows[rank()] = len(inputs)
        first = int(total(rows)[: rank()].sum())
        ones = torch.ones(int(rows.sum()), *inputs.shape[1:], dtype=inputs.dtype, device=inputs.device)
        return inputs * F.dropout(ones, self.p)[first : first + len(inputs)]


def see_whole_batches(baseline: nn.Module, statistics_shares: int) -> None:
    """Make the layers of a baseline that mix clips work on the whole batch, in place.

    Args:
        statistics_shares: 1; or the number of processes, each of which then uses the statistics of its own share.
    """
    if world() == 1:
        return
    gpu = next(baseline.parameters()).is_cuda
    if gpu and statistics_shares == 1:
        nn.SyncBatchNorm.convert_sync_batchnorm(baseline)
    for module in baseline.modules():
        if type(module) is nn.Dropout:
            module.__class__ = WholeDropout
        if isinstance(module, _BatchNorm) and statistics_shares == 1 and not gpu:
            module.__class__ = WholeBatchNorm
