"""Stage `correct`: each region of a job kept, relabelled or rejected (SeCo, section 3).

`fit_correction` looks at a sample of the job's regions once, `apply_correction` at the regions of
one image. Who decides, and why, stands in the fit:

    job     the job's own classifier: by the split of its losses (modes "mixture", the paper's,
            and "quantile", the public code's), or, in mode "pool", by what it and the model's
            classifier say together
    model   the classifier that came with the model: a region is as doubtful as its class is
            improbable, so with tau_ns 0.60 it is kept if its class has a probability above 0.40
    none    neither: a region is as certain as the share of its votes for its class times its mean
            probability (without votes, times the quality of its mask), kept above 1 - tau_ns, and
            never relabelled

A job's own classifier learns from classes of which some are wrong, the model's from another domain.
Their errors differ, so their logarithmic pool (Genest and Zidek, "Combining Probability
Distributions", Statistical Science 1986) finds wrong regions better than either. The segmenter's
mean probabilities over the region are the third in it: in a place unlike its source the model's
classifier is sure of it and wrong, where they are not, and nothing without labels tells such a
place apart. Without the model's classifier they take its place.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

import numpy as np
import numpy.typing as npt

from models.connectivity.classifier import Classifier, OwnFit, fit_own, folds_of, own_inputs
from models.connectivity.config import CorrectConfig
from models.connectivity.correction_fit import (
    JOB,
    MODEL,
    NEITHER,
    Classes,
    CorrectionFit,
    Decisions,
)
from models.connectivity.features import mean_probabilities
from models.connectivity.mixture import TwoGaussians, fit_two_gaussians
from models.connectivity.regions import Regions
from models.connectivity.rules import (
    QuantileThresholds,
    mixture_rule,
    quantile_rule,
)
from models.connectivity.sample import Sample, image_key
from models.connectivity.training import TrainingSettings, cross_entropy
from models.ontology import IGNORE_LABEL

OWN_WEIGHT: Final = 0.5
"""Weight of the job's own classifier in the pool, that of its partners together being 1."""

_LEAST: Final = 1e-4


def fit_correction(
    sample: Sample,
    config: CorrectConfig,
    prior: Classifier | None = None,
    settings: TrainingSettings | None = None,
) -> CorrectionFit:
    """Fit on a sample of a job's regions.

    The job's own classifier decides if there are `least_regions` of them, `least_class_regions` of
    every class that occurs, and its losses fall into two groups that are `least_separation` apart.

    Args:
        sample: the regions; see `sample.merge_parts`.
        config: how regions are corrected.
        prior: the classifier that came with the model, if any.
        settings: how the job's own classifier is fitted.
    """
    counts = np.bincount(sample.classes, minlength=sample.num_classes)
    class_regions = tuple(int(n) for n in counts)
    why_not = _why_not_own(sample, config, class_regions)
    separation = None
    if why_not is None:
        inputs = own_inputs(sample.groups, config.features, sample.num_classes)
        own = fit_own(
            sample.features, sample.classes, sample.images, inputs, sample.num_classes, settings
        )
        if config.mode == "pool":
            return _by_pool(own, sample, config, prior, class_regions)
        losses = cross_entropy(own.scores, sample.classes)
        if config.mode == "quantile":
            return _by_quantiles(own, losses, config, class_regions)
        mixture = fit_two_gaussians(losses)
        separation = None if mixture is None else mixture.separation
        if mixture is not None and mixture.separation >= config.least_separation:
            return _by_mixture(own, losses, mixture, sample.classes, config, class_regions)
        why_not = "the losses do not fall into two groups" + (
            "" if separation is None else f" (Ashman's D {separation:.2f})"
        )
    return _without_own(sample, config, prior, why_not, class_regions, separation)


def apply_correction(fit: CorrectionFit, regions: Regions, image_digest: str) -> Decisions:
    """Decide on the regions of one image.

    Regions that lack features which the fit was made on are judged as by "none".
    """
    classifier = fit.classifier
    if classifier is None:
        return _by_votes(fit, regions)
    widths = {name: vectors.shape[1] for name, vectors in regions.features.items()}
    lacking = classifier.lacks(widths)
    if lacking is not None:
        without = replace(fit, decided_by=NEITHER, reason=f"{fit.reason}; here {lacking}")
        return _by_votes(without, regions)
    classes = regions.classes
    scores = classifier.scores(regions.features, classes, image_key(image_digest))
    probabilities = classifier.probabilities(scores)
    if fit.decided_by == JOB and fit.config.mode == "pool":
        probabilities = _pooled(fit.partner, regions, probabilities, image_key(image_digest))
    losses = cross_entropy(scores, classes)
    if fit.thresholds is not None:
        mode = "local_loss" if fit.config.class_balanced else "both_loss"
        decisions, after = quantile_rule(losses, probabilities, classes, fit.thresholds, mode)
        doubt = 1 - _of_class(probabilities, classes)
        return _decisions(fit, decisions, after, doubt, probabilities, classes)
    if fit.mixture is not None:
        doubt = _posterior(fit.mixture, fit.class_mixtures, losses, classes)
    else:
        doubt = 1 - _of_class(probabilities, classes)
    return _decide(fit, doubt, probabilities, classes, fit.config.relabel_above)


def _why_not_own(
    sample: Sample, config: CorrectConfig, class_regions: tuple[int, ...]
) -> str | None:
    """Why the job's own classifier is not even fitted."""
    occurring = {c: n for c, n in enumerate(class_regions) if n}
    fewest = min(occurring, key=lambda c: occurring[c], default=0)
    checks = (
        (config.fit != "job", "the configuration says so"),
        (len(sample) == 0, "there are no regions"),
        (
            len(sample) < config.least_regions,
            f"{len(sample)} regions are fewer than {config.least_regions}",
        ),
        (len(occurring) < 2, "all regions are of one class"),
        (
            occurring.get(fewest, 0) < config.least_class_regions,
            f"class {fewest} has {occurring.get(fewest, 0)} regions, fewer than "
            f"{config.least_class_regions}",
        ),
        (
            not own_inputs(sample.groups, config.features, sample.num_classes),
            "none of the features asked for are there",
        ),
    )
    found = next((reason for applies, reason in checks if applies), None)
    if found is None and not _seen_without_fold(sample):
        return "a class occurs in images of one fold only, so no head could learn it for them"
    return found


def _seen_without_fold(sample: Sample) -> bool:
    """Whether each class of a fold also occurs outside it."""
    pairs = {(int(c), int(f)) for c, f in zip(sample.classes, folds_of(sample.images), strict=True)}
    folds_with = np.bincount([c for c, _ in pairs], minlength=sample.num_classes)
    return not (folds_with == 1).any()


def _by_pool(
    own: OwnFit,
    sample: Sample,
    config: CorrectConfig,
    prior: Classifier | None,
    class_regions: tuple[int, ...],
) -> CorrectionFit:
    lacking = "the model has no classifier" if prior is None else _unfit(prior, sample)
    partners = "the segmenter's probabilities"
    if lacking is None:
        partners += " and the model's classifier"
    return CorrectionFit(
        config,
        len(class_regions),
        JOB,
        f"the job's classifier was pooled with {partners}",
        class_regions,
        own.classifier,
        partner=None if lacking else prior,
        rounds=own.rounds,
    )


def _pooled(
    model: Classifier | None,
    regions: Regions,
    own: npt.NDArray[np.float64],
    image: int,
) -> npt.NDArray[np.float64]:
    """Logarithmic pool of the probabilities of the job's classifier with its partners', (N, K)."""
    widths = {name: vectors.shape[1] for name, vectors in regions.features.items()}
    partners = []
    of_a_class = np.ones((len(own), 1))
    if model is not None and model.lacks(widths) is None:
        partners.append(model.probabilities(model.scores(regions.features, regions.classes, image)))
        of_a_class = np.minimum(partners[0].sum(1, keepdims=True), 1.0)
    means = mean_probabilities(regions)
    if means is not None:
        partners.append(means)
    if not partners:
        return own
    weight = 1 / len(partners)
    pool = OWN_WEIGHT * np.log(np.maximum(own, _LEAST))
    for partner in partners:
        pool = pool + weight * np.log(np.maximum(partner, _LEAST))
    pool = np.exp(pool - pool.max(1, keepdims=True, initial=-np.inf))
    shares: npt.NDArray[np.float64] = pool / pool.sum(1, keepdims=True)
    # What the model's classifier gives to "no one class" stays with it.
    scaled: npt.NDArray[np.float64] = shares * of_a_class**weight
    return scaled


def _by_mixture(
    own: OwnFit,
    losses: npt.NDArray[np.float64],
    mixture: TwoGaussians,
    classes: Classes,
    config: CorrectConfig,
    class_regions: tuple[int, ...],
) -> CorrectionFit:
    class_mixtures = {}
    if config.class_balanced:
        for c in np.flatnonzero(class_regions):
            found = fit_two_gaussians(losses[classes == c])
            if found is not None and found.separation >= config.least_separation:
                class_mixtures[int(c)] = found
    return CorrectionFit(
        config,
        len(class_regions),
        JOB,
        f"the losses fall into two groups (Ashman's D {mixture.separation:.2f})",
        class_regions,
        own.classifier,
        mixture,
        class_mixtures,
        separation=mixture.separation,
        rounds=own.rounds,
    )


def _by_quantiles(
    own: OwnFit,
    losses: npt.NDArray[np.float64],
    config: CorrectConfig,
    class_regions: tuple[int, ...],
) -> CorrectionFit:
    probabilities = own.classifier.probabilities(own.scores)
    return CorrectionFit(
        config,
        len(class_regions),
        JOB,
        "there are enough regions for order statistics",
        class_regions,
        own.classifier,
        thresholds=QuantileThresholds.of(losses, probabilities, config.quantile),
        rounds=own.rounds,
    )


def _without_own(
    sample: Sample,
    config: CorrectConfig,
    prior: Classifier | None,
    why_not: str,
    class_regions: tuple[int, ...],
    separation: float | None,
) -> CorrectionFit:
    lacking = "the model has no classifier"
    if prior is not None:
        lacking = _unfit(prior, sample) or ""
    decided_by = NEITHER if lacking else MODEL
    reason = f"{why_not}; {lacking}" if lacking else why_not
    return CorrectionFit(
        config,
        sample.num_classes,
        decided_by,
        reason,
        class_regions,
        None if lacking else prior,
        separation=separation,
    )


def _unfit(prior: Classifier, sample: Sample) -> str | None:
    if prior.num_classes != sample.num_classes:
        return f"the model's classifier is for {prior.num_classes} classes"
    if len(sample) == 0:  # nothing is known of the features, and nothing is to be decided
        return None
    lacks = prior.lacks(sample.groups)
    return None if lacks is None else f"the model's classifier cannot be used: {lacks}"


def _by_votes(fit: CorrectionFit, regions: Regions) -> Decisions:
    has_votes = regions.votes.sum(1) > 0
    agreed = np.where(has_votes, regions.vote_share(), regions.quality).astype(np.float64)
    certain = np.clip(agreed * regions.confidence, 0, 1)
    probabilities = np.zeros((len(regions), fit.num_classes))
    given = regions.classes[:, None].astype(np.int64)
    np.put_along_axis(probabilities, given, certain[:, None], 1)
    # Only the class given has a probability, and no other may be written.
    return _decide(fit, 1 - certain, probabilities, regions.classes, relabel_above=1.0)


def _posterior(
    mixture: TwoGaussians,
    class_mixtures: Mapping[int, TwoGaussians],
    losses: npt.NDArray[np.float64],
    classes: Classes,
) -> npt.NDArray[np.float64]:
    posterior = mixture.posterior(losses)
    for c, own in class_mixtures.items():
        of_class = classes == c
        posterior[of_class] = own.posterior(losses[of_class])
    return posterior


def _decide(
    fit: CorrectionFit,
    doubt: npt.NDArray[np.float64],
    probabilities: npt.NDArray[np.float64],
    classes: Classes,
    relabel_above: float,
) -> Decisions:
    doubt = np.minimum(doubt, np.nextafter(1.0, 0.0))  # so that tau_ns = 1 keeps all
    decisions, after = mixture_rule(
        doubt, probabilities, classes, fit.config.keep_below, relabel_above
    )
    return _decisions(fit, decisions, after, doubt, probabilities, classes)


def _decisions(
    fit: CorrectionFit,
    decisions: npt.NDArray[np.uint8],
    after: Classes,
    doubt: npt.NDArray[np.float64],
    probabilities: npt.NDArray[np.float64],
    classes: Classes,
) -> Decisions:
    written = np.where(after == IGNORE_LABEL, classes, after)
    return Decisions(
        decisions,
        after,
        doubt.astype(np.float32),
        _of_class(probabilities, written).astype(np.float32),
        fit.decided_by,
        fit.reason,
    )


def _of_class(probabilities: npt.NDArray[np.float64], classes: Classes) -> npt.NDArray[np.float64]:
    return np.take_along_axis(probabilities, classes[:, None].astype(np.int64), 1)[:, 0]
