"""A network's training on this machine: its policy chosen and logged, its weights brought back to what is saved."""

from typing import Any

from pipeline_config.experiment import Compute, Model
from pipeline_config.settings import Settings
from tasks import tracking
from tasks.input_pipeline import ImageSet
from tasks.progress import say
from tasks.train.checkpoint import Checkpoint
from tasks.train.compute.choice import choose_policy
from tasks.train.compute.devices import mirrored
from tasks.train.compute.network import for_training, take_weights
from tasks.train.compute.policy import Policy
from tasks.train.feature_cache import FeatureCache
from tasks.train.fit import Fit, compute_features, fit_model
from tasks.train.watching import Report


def plan(run_id: str, network: Any, model: Model, images: ImageSet, compute: Compute) -> Policy | None:
    """The policy, also in the run's params and told with its reason; None for a model that is no network.

    Args:
        run_id: of the run that the training belongs to.
        network: as its first stage finds it.
        model: its section.
        images: to train with.
        compute: what is set by hand.
    """
    policy, reason = choose(network, model, images, compute)
    if policy is None:
        return None
    tracking.log_params(run_id, {"compute": policy.settings})
    tracking.set_tags(run_id, {"darkroom.compute": reason})
    say(f"{model.name} is trained in {reason}{f'; on {policy.devices} GPUs' if policy.devices > 1 else ''}")
    return policy


def choose(network: Any, model: Model, images: ImageSet, compute: Compute) -> tuple[Policy | None, str]:
    """As `plan`, with nothing logged or told: the policy, and why it is this one."""
    if hasattr(network, "predict_proba"):
        return None, ""
    height, width = images.pixels.shape[1:3]
    count = len(images.positions("train"))
    return choose_policy(network, model, (height, width), count, compute, Settings().cache)


def fit_planned(
    network: Any,
    policy: Policy | None,
    images: ImageSet,
    model: Model,
    name: str,
    checkpoint: Checkpoint | None,
    report: Report | None = None,
) -> Fit:
    """Fit in place, as `fit_model`, which tells what is raised; a network by a copy that is computed by the policy."""
    import keras

    if policy is None:
        return fit_model(network, images, model.train, name)
    keras.utils.set_random_seed(model.train.seed)  # a measurement may have drawn from it, and need not be made again
    with mirrored(policy.devices):
        trained = for_training(network, policy)
        fit = fit_model(trained, images, model.train, name, checkpoint, _features(), jit=policy.jit, report=report)
    take_weights(network, trained)
    return fit


def share_features(network: Any, policy: Policy, images: ImageSet, model: Model) -> None:
    """Compute what several trainings with this frozen backbone will share."""
    compute_features(for_training(network, policy), images, model.train, model.name, _features())


def _features() -> FeatureCache:
    settings = Settings()
    return FeatureCache(settings.features, settings.feature_cache_bytes)
