"""What a Hugging Face folder says about its model, and why it may be refused.

Only SegFormer and UperNet are taken, whose code is part of the `transformers` library.
"""

import json
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from models.errors import ModelRefused
from models.ontology import MAX_CLASSES, Ontology

CONFIG_FILE = "config.json"
PREPROCESSOR_FILE = "preprocessor_config.json"
WEIGHTS_FILE = "model.safetensors"
INDEX_FILE = "model.safetensors.index.json"
ARCHITECTURES = {
    "segformer": "SegformerForSemanticSegmentation",
    "upernet": "UperNetForSemanticSegmentation",
}
BACKBONES = ("convnext", "convnextv2", "resnet", "swin")
_IMAGENET_MEAN = (0.485, 0.456, 0.406)
_IMAGENET_STD = (0.229, 0.224, 0.225)
# Keys with which a configuration makes `transformers` run code or read files from elsewhere.
_FORBIDDEN_KEYS = {
    "auto_map": "names Python code to be run",
    "trust_remote_code": "asks to run code of the repository",
    "custom_pipelines": "names Python code to be run",
    "quantization_config": "asks for quantised weights, which need other libraries",
    "transformers_weights": "names another file for the weights",
    "attn_implementation": "chooses an attention kernel, which may be fetched code",
    "_attn_implementation": "chooses an attention kernel, which may be fetched code",
}


def read_json(path: Path) -> dict[str, Any]:
    """The JSON object in a file; raises ModelRefused `model-unreadable`."""
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise unreadable(f"{path.name} cannot be read: {error}.") from error
    if not isinstance(content, dict):
        raise unreadable(f"{path.name} is not a JSON object.")
    return content


def unreadable(reason: str) -> ModelRefused:
    """The refusal of a folder that is damaged or incomplete."""
    return ModelRefused(
        "model-unreadable", reason, "Save the model again with `model.save_pretrained(folder)`."
    )


def check_folder(folder: Path, content: dict[str, Any]) -> None:
    """Refuses code, other architectures and too many classes; `content` is that of config.json.

    Raises:
        ModelRefused: `model-has-code`, `model-not-supported`, `too-many-classes`.
    """
    code = sorted(path.name for path in folder.iterdir() if path.suffix == ".py")
    if code:
        raise _has_code(f"The folder holds Python code ({code[0]}), which is not run.")
    _check_keys(content)
    _check_architecture(content)
    labels = content.get("id2label")
    count = max(
        len(labels) if isinstance(labels, dict) else 0, _as_count(content.get("num_labels"))
    )
    if count > MAX_CLASSES:
        raise ModelRefused(
            "too-many-classes",
            f"The model has {count} classes; labels are 8 bits wide with 255 for ignore.",
            f"Use a model with at most {MAX_CLASSES} classes.",
        )


def _as_count(value: Any) -> int:
    return value if isinstance(value, int) else 0


def _has_code(reason: str) -> ModelRefused:
    return ModelRefused(
        "model-has-code",
        reason,
        "Use SegFormer or UperNet as `transformers` has them, or export the model and use "
        "`selvage models convert` and `selvage models add` on the machine.",
    )


def _check_keys(content: Any) -> None:
    for key, value in content.items():
        if key in _FORBIDDEN_KEYS and value is not None:
            raise _has_code(f"{CONFIG_FILE} {_FORBIDDEN_KEYS[key]} ({key}).")
        if isinstance(value, dict):
            _check_keys(value)


def _check_architecture(content: dict[str, Any]) -> None:
    model_type = content.get("model_type")
    architectures = content.get("architectures") or [ARCHITECTURES.get(str(model_type))]
    if model_type not in ARCHITECTURES or architectures != [ARCHITECTURES[model_type]]:
        raise _not_supported(f"The architecture {architectures} ({model_type}) is not supported.")
    if model_type == "upernet":
        backbone = content.get("backbone_config")
        if not isinstance(backbone, dict) or backbone.get("model_type") not in BACKBONES:
            raise _not_supported(
                f"UperNet is supported with a `backbone_config` of type {', '.join(BACKBONES)}."
            )


def _not_supported(reason: str) -> ModelRefused:
    return ModelRefused(
        "model-not-supported",
        reason,
        f"Supported are {' and '.join(ARCHITECTURES.values())}; export others with torch.export "
        "and use `selvage models convert` and `selvage models add` on the machine.",
    )


def read_weights(folder: Path) -> dict[str, Tensor]:
    """All tensors of the safetensors files, by name.

    Raises:
        ModelRefused: `model-is-pickle` if there are only pickled weights, `model-unreadable`.
    """
    if (folder / WEIGHTS_FILE).is_file():
        names = [WEIGHTS_FILE]
    elif (folder / INDEX_FILE).is_file():
        names = _shard_names(folder)
    else:
        raise _no_safetensors(folder)
    weights: dict[str, Tensor] = {}
    for name in names:
        try:
            # Copies lie where the allocator aligns them. As mapped from the file, where a tensor
            # lies decides which kernel is chosen, and with it the last bits of the result.
            weights.update({key: value.clone() for key, value in load_file(folder / name).items()})
        except (SafetensorError, OSError) as error:
            raise unreadable(f"{name} cannot be read: {error}.") from error
    return weights


def _shard_names(folder: Path) -> list[str]:
    weight_map = read_json(folder / INDEX_FILE).get("weight_map")
    if not isinstance(weight_map, dict):
        raise unreadable(f"{INDEX_FILE} has no weight_map.")
    names = sorted({str(name) for name in weight_map.values()})
    for name in names:
        if Path(name).name != name or not name.endswith(".safetensors"):
            raise unreadable(f"{INDEX_FILE} names '{name}', which is no file of the folder.")
    return names


def _no_safetensors(folder: Path) -> ModelRefused:
    pickles = sorted(path.name for path in folder.glob("pytorch_model*.bin"))
    if pickles:
        return ModelRefused(
            "model-is-pickle",
            f"The weights are a pickle ({pickles[0]}), and reading a pickle can run any code.",
            "On a machine that may read it, run `selvage models convert SRC DST`.",
        )
    return unreadable(f"The folder has no {WEIGHTS_FILE}.")


def read_ontology(id2label: Any, name: str) -> Ontology:
    """The classes of `id2label`, all of kind `stuff`; a name that occurs again gets its id.

    Raises:
        ModelRefused: `model-classes-mismatch` if the ids are not 0, 1, 2, …
    """
    labels = {int(key): str(value) for key, value in id2label.items()}
    if sorted(labels) != list(range(len(labels))):
        raise ModelRefused(
            "model-classes-mismatch",
            f"id2label in {CONFIG_FILE} has {len(labels)} entries, but not for the ids 0, 1, 2, …",
            "Give every class of the network a name in id2label.",
        )
    names: list[str] = []
    for key in range(len(labels)):
        label = labels[key] or f"class {key}"
        taken = label in names
        names.append(f"{label} ({key})" if taken else label)
    return Ontology.from_names(name, names)


def read_normalisation(content: dict[str, Any]) -> tuple[list[float], list[float]]:
    """(mean, std) of the three channels for images in [0, 1]; ImageNet's where nothing is said.

    The library computes (255 x * rescale_factor - mean) / std, with the steps that are switched on.
    """
    mean, std = [0.0] * 3, [1.0] * 3
    if content.get("do_normalize", True):
        mean = _three(content, "image_mean", _IMAGENET_MEAN)
        std = _three(content, "image_std", _IMAGENET_STD)
    factor = content.get("rescale_factor", 1 / 255) if content.get("do_rescale", True) else 1.0
    if not isinstance(factor, int | float) or factor <= 0 or 0 in std:
        raise unreadable(f"{PREPROCESSOR_FILE} has no usable rescale_factor or image_std.")
    gain = 255 * factor
    return [value / gain for value in mean], [value / gain for value in std]


def _three(content: dict[str, Any], key: str, default: tuple[float, ...]) -> list[float]:
    values = content.get(key, default)
    if isinstance(values, int | float):
        values = [values] * 3
    if len(values) != 3 or not all(isinstance(value, int | float) for value in values):
        raise unreadable(f"{key} in {PREPROCESSOR_FILE} is not three numbers.")
    return [float(value) for value in values]
