"""The search of the paper: fine-tune the reverse chain so that it generates costly rows."""

from copy import deepcopy
from typing import Any, NamedTuple

import numpy as np
import torch
from joblib import Memory

from .._utils.checks import number, option, whole_number
from .._utils.memory import check_rows
from .._utils.progress import counted, say_if_due
from .._utils.seeds import named_rng, named_seed
from ..learners.adam import Adam, can_be_fused
from ..learners.construct import device_or_cpu, slopes_in_eval
from ..rows import Rows
from ._contexts import ContextPool, checked_context
from ._neighbors import conditional_neighbor_divergence, neighbor_divergence
from ._reverse import ReverseChain, VelocityNet
from .generator import DiffusionGenerator
from .search import TableLoss, WorstCaseSearch

_N_COMPARED = 4096  # rows of each chain to estimate the divergence from; most contexts stored
_SLACK = 1.05  # multiple of the radius above which the net is pulled back


class _Tail(NamedTuple):
    """The last steps of reverse trajectories: states before and after, and the steps' means."""

    step: torch.Tensor
    before: torch.Tensor
    after: torch.Tensor
    old_mean: torch.Tensor
    known: torch.Tensor | None = None

    def flat(self) -> "_Tail":
        """Return the steps of all trajectories one after the other."""
        n_steps, d = self.before.shape[1:]
        before, after, mean = (
            each.reshape(-1, d) for each in (self.before, self.after, self.old_mean)
        )
        known = None if self.known is None else self.known.repeat_interleave(n_steps, dim=0)
        return _Tail(self.step.reshape(-1), before, after, mean, known)


class PolicyGradientSearch(WorstCaseSearch):
    r"""Proximal policy optimisation of the reverse chain, the search of 3D-Learning.

    The reverse chain is a policy, and the regret of its final row is the reward. Trajectories are
    sampled from the present chain. For a few epochs, their last steps are used to maximise

    .. math::
        E[\min(\rho A, \mathrm{clip}(\rho, 1 - \kappa, 1 + \kappa) A)] - \mu (D(\theta) - radius)

    by gradient ascent. A is the standardised regret, :math:`\rho` the ratio of a step's density to
    that under the chain that drew it. The dual variable :math:`\mu \ge 0` changes by the excess of
    the divergence over the radius. Every call draws new samples and goes on from the last chain.

    Where the rows have a context, each trajectory is conditioned on that of a training row, drawn
    by weight, and both divergences are means over contexts: the chain changes which rows are
    generated given a context, but not how often a context occurs.

    Parameters
    ----------
    divergence : {"kl", "score_matching"}, default="kl"
        "kl" is the path divergence in nats,
        :math:`\sum_t E \|\mu_\theta - \mu_{\theta_0}\|^2 / (2 \sigma_t^2)`, an upper bound of
        the divergence of the rows. "score_matching" is that of the paper: by how much the real
        rows are denoised worse than by the nominal net, per row and noise level. The radius is
        then in that unit.
    n_steps : int, default=50
        Number of reverse steps of a trajectory.
    n_tail : int, default=25
        Number of last steps that are fine-tuned. Before them the chain stays nominal.
    n_trajectories : int, default=512
        Number of trajectories in one sample.
    n_rounds : int, default=2
        Number of samples that one call draws and learns from.
    n_warm_up : int, default=10
        Number of rounds in the first call, so that training does not start with a weak adversary.
    refresh_every : int, default=5
        Epochs of the predictor's training between two calls.
    n_epochs : int, default=4
        Number of passes over one sample.
    clip : float, default=0.2
        The paper's kappa.
    learning_rate : float, default=1e-3
        Learning rate of Adam.
    dual_step : float, default=0.1
        Step of the dual variable per unit of relative excess, as a share of its initial value.

    Attributes
    ----------
    dual_ : float
        The dual variable.
    denoiser_ : torch.nn.Module
        The fine-tuned net.

    See Also
    --------
    TiltedSearch : The same problem solved on a pool of rows, exactly and faster.
    DiffusionBall : Takes a search as a parameter.

    Notes
    -----
    With the paper's dual variable alone, the divergence may exceed the radius. After such a round
    the net is moved towards the nominal one until the divergence is within the radius. The last
    step, which has no noise and therefore no density, stays nominal.

    The search stores the contexts of the training rows, or a draw of 4,096 where there are more, so
    that it can generate rows after a fit. Before the regret is standardised, its regression on the
    context is subtracted, because the chain cannot choose the context.

    References
    ----------
    Wen, Fan and Yang, "3D-Learning", arXiv:2602.02943.

    Examples
    --------
    The value of a generated row as its regret: the chain learns to generate larger values.

    >>> import numpy as np
    >>> from dfl_sklearn.robust import DiffusionGenerator, PolicyGradientSearch
    >>> from dfl_sklearn.rows import Rows
    >>> Z = np.random.default_rng(0).normal(size=(100, 1))
    >>> generator = DiffusionGenerator(hidden_layer_sizes=(16,), max_iter=1, random_state=0).fit(Z)
    >>> search = PolicyGradientSearch(n_steps=10, n_tail=5, n_trajectories=256, n_warm_up=5)
    >>> search.set_nominal(generator, Rows.of_table(Z, np.full(100, 1 / 100)), seed=0)
    >>> worst, divergence = search.search(lambda rows: rows.X[:, 0], radius=0.1)
    >>> bool(worst.weight @ worst.X[:, 0] > Z.mean()), bool(divergence <= 0.1)
    (True, True)
    """

    _of_training = ("_held_out", "_real", "_real_known", "_real_weight")

    def __init__(
        self,
        divergence: str = "kl",
        *,
        n_steps: int = 50,
        n_tail: int = 25,
        n_trajectories: int = 512,
        n_rounds: int = 2,
        n_warm_up: int = 10,
        refresh_every: int = 5,
        n_epochs: int = 4,
        clip: float = 0.2,
        learning_rate: float = 1e-3,
        dual_step: float = 0.1,
    ) -> None:
        self.divergence = divergence
        self.n_steps = n_steps
        self.n_tail = n_tail
        self.n_trajectories = n_trajectories
        self.n_rounds = n_rounds
        self.n_warm_up = n_warm_up
        self.refresh_every = refresh_every
        self.n_epochs = n_epochs
        self.clip = clip
        self.learning_rate = learning_rate
        self.dual_step = dual_step

    def set_nominal(
        self,
        generator: DiffusionGenerator,
        real: Rows,
        seed: int,
        held_out: Rows | None = None,
        memory: Memory | None = None,
    ) -> None:
        """Copy the nominal net."""
        option(self.divergence, "divergence", ("kl", "score_matching"))
        for name in ("n_trajectories", "refresh_every", "n_epochs", "n_tail"):
            whole_number(getattr(self, name), name, at_least=1)
        whole_number(self.n_steps, "n_steps", at_least=2)
        for name in ("n_rounds", "n_warm_up"):
            whole_number(getattr(self, name), name, at_least=0)
        for name in ("clip", "learning_rate"):
            number(getattr(self, name), name, above=0)
        number(self.dual_step, "dual_step", at_least=0)
        # Steps with the states before and after them, and their means.
        check_rows("n_trajectories", self.n_trajectories, 3 * self.n_tail * real.X.shape[1])
        if not any(True for _ in generator.denoiser_.parameters()):
            raise ValueError(
                "PolicyGradientSearch fine-tunes the generator's net, but with fewer than 30 "
                "distinct rows a denoiser of your own is left out. Use TiltedSearch."
            )
        self._generator, self._seed = generator, seed
        checked_context(generator._context_columns, real.context, len(real), type(self).__name__)
        schedule = generator._noise.respaced(min(self.n_steps, len(generator._noise)))
        device = device_or_cpu(generator.device)
        self._nominal = ReverseChain.on(device, generator.denoiser_, schedule)
        self._tail_length = min(self.n_tail, len(schedule) - 1)
        self.denoiser_ = deepcopy(generator.denoiser_).to(device)
        self._present = ReverseChain(VelocityNet(self.denoiser_), schedule, device=device)
        self._real = torch.as_tensor(
            generator._coordinates.forward(real.X, real.context), device=device
        )
        self._real_known = self._known(real.context)
        self._width = self._real.shape[1]
        # Stored with the search, which also generates rows after the fit.
        self._contexts, self._watched_contexts = (
            ContextPool(rows, _N_COMPARED, named_rng(seed, f"{name} contexts"))
            for name, rows in (
                ("training", real),
                ("watched", real if held_out is None else held_out),
            )
        )
        self._context_rng = named_rng(seed, "contexts")
        self._real_weight = torch.as_tensor(real.weight)
        weights = list(self.denoiser_.parameters())
        fused = can_be_fused(weights, device)
        self._optimizer = Adam(weights, lr=self.learning_rate, fused=fused)
        self._noise_seed = torch.Generator().manual_seed(named_seed(seed, "policy gradient"))
        self.dual_ = self._first_dual = 0.0
        self._is_warm = False
        self.effective_sample_size_ = float(self.n_trajectories)
        self._held_out = None
        self._nominal_rows: torch.Tensor | None = None

    def search(self, table_loss: TableLoss, radius: float) -> tuple[Rows, float]:
        """Fine-tune the chain for the present predictor, and draw rows from it."""
        if not self._is_warm:
            # The slope of the whitened regret in the divergence where the two are Gaussian, a
            # mean shift of sqrt(2 radius), in units of the radius.
            self._first_dual = self.dual_ = float(np.sqrt(radius / 2))
            n_rounds, self._is_warm = self.n_warm_up, True
        else:
            n_rounds = self.n_rounds
        if self._width == 0:
            n_rounds = 0  # all columns are constant, or given by the context
        for _ in counted(range(n_rounds), "rounds of the search", n_rounds):
            context = self._contexts.draw(self.n_trajectories, self._context_rng)
            z, tail = self._trajectories(self.n_trajectories, context)
            regret = torch.as_tensor(table_loss(self._equal_rows(z, context)), device=z.device)
            advantage = _advantage(regret, tail.known)
            with slopes_in_eval(z.device):
                self._ascend(tail, advantage, radius)
        divergence = self._pull_back(radius)
        context = self._contexts.draw(self.n_trajectories, self._context_rng)
        worst = self._equal_rows(self._trajectories(self.n_trajectories, context)[0], context)
        self._held_out = None  # it belonged to the previous chain
        return worst, divergence

    def held_out_regret(self, table_loss: TableLoss, radius: float) -> float:
        """Return the mean regret on other rows of the last chain.

        Their noise is the same for every chain, so that chains can be compared. So are their
        contexts, which are those of the held-out rows if there are any.
        """
        if self._held_out is None:
            noise = torch.Generator().manual_seed(named_seed(self._seed, "held out"))
            rng = named_rng(self._seed, "held-out contexts")
            context = self._watched_contexts.draw(self.n_trajectories, rng)
            z, _ = self._trajectories(self.n_trajectories, context, noise)
            self._held_out = self._equal_rows(z, context)
        return float(table_loss(self._held_out).mean())

    def nominal(self) -> Rows:
        """Return rows of the nominal chain, which are always the same."""
        return self._equal_rows(self._nominal_coordinates(), self._compared_contexts())

    def row_divergence(self) -> float:
        """Estimate the divergence of the rows from the distances to their nearest neighbours.

        The estimate is rough: a small divergence may be slightly below 0, and a large one in many
        columns a quarter too small. With a context it is the mean divergence of a row given its
        context, from rows of both chains given the same contexts. Since contexts are equally
        frequent in both, that is also the divergence of rows and contexts together.
        """
        if self._width == 0:
            return 0.0
        generator = torch.Generator().manual_seed(2)
        context = self._compared_contexts()
        worst, tail = self._trajectories(_N_COMPARED, context, generator)
        pair = worst.cpu().numpy(), self._nominal_coordinates().cpu().numpy()
        if tail.known is None or tail.known.shape[1] == 0:
            return neighbor_divergence(*pair)
        return conditional_neighbor_divergence(*pair, tail.known.cpu().numpy())

    def sample(self, n: int, rng: np.random.Generator) -> Rows:
        """Draw rows from the fine-tuned chain."""
        generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
        context = self._contexts.draw(n, rng)
        return self._equal_rows(self._trajectories(n, context, generator)[0], context)

    def _nominal_coordinates(self) -> torch.Tensor:
        if self._nominal_rows is None:
            generator = torch.Generator().manual_seed(1)
            known = self._known(self._compared_contexts())
            with torch.no_grad():
                self._nominal_rows = self._nominal.sample(
                    _N_COMPARED, self._width, generator, known
                )
        return self._nominal_rows

    def _compared_contexts(self) -> np.ndarray | None:
        return self._contexts.draw(_N_COMPARED, named_rng(self._seed, "compared contexts"))

    def __getstate__(self) -> dict[str, Any]:
        """Store what is fitted on the CPU, for machines that have no other device."""
        state = dict(super().__getstate__())
        if "_present" not in state or self._present.device.type == "cpu":
            return state
        cpu = torch.device("cpu")
        state.pop("_optimizer")  # it belongs to the net on the device; a stored search cannot go on
        for name in ("_nominal", "_present"):
            chain = state[name]
            state[name] = ReverseChain.on(cpu, chain.denoiser, chain.schedule)
        state["denoiser_"] = state["_present"].denoiser
        if state["_nominal_rows"] is not None:
            state["_nominal_rows"] = state["_nominal_rows"].cpu()
        return state

    # -- the chain ---------------------------------------------------------------------

    def _known(self, context: np.ndarray | None) -> torch.Tensor | None:
        """Return the coordinates (n, k) of a context (n, c)."""
        known = self._generator._coordinates.known(context)
        return None if known is None else torch.as_tensor(known, device=self._nominal.device)

    def _equal_rows(self, z: torch.Tensor, context: np.ndarray | None) -> Rows:
        """Return rows of the table, of equal weight, for coordinates (n, d) and contexts."""
        table = self._generator._coordinates.inverse(z.cpu().numpy(), context)
        return Rows.of_table(table, np.full(len(z), 1.0 / len(z)), context)

    def _trajectories(
        self, n: int, context: np.ndarray | None, generator: torch.Generator | None = None
    ) -> tuple[torch.Tensor, _Tail]:
        """Return final coordinates (n, d) and the tails of their trajectories."""
        generator = self._noise_seed if generator is None else generator
        chain, known = self._nominal, self._known(context)
        steps: list[tuple[torch.Tensor, ...]] = []
        with torch.no_grad():
            z = chain.draw(n, self._width, generator)
            for k in range(len(chain) - 1, -1, -1):
                if k == 0 or k > self._tail_length:
                    z = chain.step(z, k, generator, known)
                    continue
                mean = self._present.mean(z, k, known)
                after = mean + chain.variance[k].sqrt() * chain.draw(n, z.shape[1], generator)
                steps.append((torch.full((n,), k, device=z.device), z, after, mean))
                z = after
        step, before, after, old = (torch.stack(each, dim=1) for each in zip(*steps, strict=True))
        return z, _Tail(step, before, after, old, known)

    def _ascend(self, tail: _Tail, advantage: torch.Tensor, radius: float) -> None:
        n, n_steps = tail.step.shape
        step, before, after, old, known = tail.flat()
        gain = advantage.repeat_interleave(n_steps)
        with torch.no_grad():
            nominal = self._nominal.mean(before, step, known)
        spread = 2 * self._nominal.variance[step]
        for _ in range(self.n_epochs):
            order = torch.randperm(n * n_steps, generator=self._noise_seed).to(step.device)
            for index in order.split(2048):
                given = None if known is None else known[index]
                mean = self._present.mean(before[index], step[index], given)
                now = ((after[index] - mean) ** 2).sum(dim=1)
                then = ((after[index] - old[index]) ** 2).sum(dim=1)
                ratio = torch.exp((then - now) / spread[index])
                kept = ratio.clamp(1 - self.clip, 1 + self.clip)
                surrogate = torch.minimum(ratio * gain[index], kept * gain[index]).mean()
                if self.divergence == "kl":
                    path = ((mean - nominal[index]) ** 2).sum(dim=1) / spread[index]
                    divergence = n_steps * path.mean()
                else:
                    divergence = self._score_matching_gap(self._noise_seed)
                excess = (divergence - radius) / radius
                self._optimizer.zero_grad()
                (self.dual_ * excess / n_steps - surrogate).backward()
                self._optimizer.step()
            change = self.dual_step * self._first_dual * float(excess.detach())
            self.dual_ = max(0.0, self.dual_ + change)

    def _divergence(self) -> float:
        """Return the divergence of the present chain, on noise that is the same for every chain."""
        generator = torch.Generator().manual_seed(0)
        with torch.no_grad():
            if self.divergence == "score_matching":
                gaps = [self._score_matching_gap(generator) for _ in range(8)]
                return float(torch.stack(gaps).mean())
            if self._width == 0:
                return 0.0
            rng = named_rng(self._seed, "divergence contexts")
            context = self._contexts.draw(self.n_trajectories, rng)
            _, tail = self._trajectories(self.n_trajectories, context, generator)
            step, before, _, mean, known = tail.flat()
            gap = (mean - self._nominal.mean(before, step, known)) ** 2
            path = gap.sum(dim=1) / (2 * self._nominal.variance[step])
            return float(path.mean()) * tail.step.shape[1]

    def _score_matching_gap(self, generator: torch.Generator) -> torch.Tensor:
        """Return J(theta) - J(theta_0) on real rows at times of the tail, with common noise."""
        if not hasattr(self, "_real"):
            raise RuntimeError(
                "Score matching needs the training rows, which are dropped at the end of a fit. "
                "Fit again to go on searching."
            )
        chain, n = self._nominal, min(512, 4 * len(self._real))
        rows = torch.multinomial(self._real_weight, n, replacement=True, generator=generator)
        rows = rows.to(chain.device)
        z, known = self._real[rows], None if self._real_known is None else self._real_known[rows]
        k = torch.randint(1, self._tail_length + 1, (n,), generator=generator).to(chain.device)
        noise = chain.draw(n, z.shape[1], generator)
        noisy = chain.diffuse(z, noise, k)
        with torch.no_grad():
            nominal = ((noise - chain.noise(noisy, k, known)) ** 2).sum(dim=1)
        return (((noise - self._present.noise(noisy, k, known)) ** 2).sum(dim=1) - nominal).mean()

    def _pull_back(self, radius: float) -> float:
        """Move the net towards the nominal one until its divergence is within the radius."""
        divergence = self._divergence()
        if divergence <= _SLACK * radius:
            return divergence
        far = {name: value.clone() for name, value in self.denoiser_.state_dict().items()}
        near = self._nominal.denoiser.state_dict()
        low, high = 0.0, 1.0
        for step in range(20):
            middle = (low + high) / 2
            mixed = {name: near[name] + middle * (far[name] - near[name]) for name in far}
            self.denoiser_.load_state_dict(mixed)
            divergence = self._divergence()
            say_if_due(f"back to the radius, step {step + 1} of at most 20")
            if abs(divergence - radius) <= 0.02 * radius:
                break
            low, high = (middle, high) if divergence < radius else (low, middle)
        return divergence


def _advantage(regret: torch.Tensor, known: torch.Tensor | None) -> torch.Tensor:
    """Return the standardised regret (n,) after its regression on the context is subtracted.

    A chain cannot choose the contexts, so the part of the regret that they explain would only add
    noise to the gradient.
    """
    if known is not None and known.shape[1]:
        one = torch.ones_like(known[:, :1])
        design = torch.cat([one, known], dim=1).cpu().numpy()
        centered = (regret - regret.mean()).cpu().numpy()
        fitted = design @ np.linalg.lstsq(design, centered, rcond=None)[0]
        regret = torch.as_tensor(centered - fitted, device=regret.device)
    return (regret - regret.mean()) / (regret.std() + 1e-12)
