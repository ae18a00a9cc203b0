"""A deterministic generator of street-like scenes with exact labels; see docs/scenes.md."""

from benchmarks.scenes.ontology import SCENE_ONTOLOGY
from benchmarks.scenes.scene import Scene, SceneDataset, generate_scene
from benchmarks.scenes.seeds import GENERATOR_VERSION, SEED_RANGES, split_seeds
from benchmarks.scenes.styles import HELD_OUT_STYLES, SOURCE_STYLE, STYLES, TARGET_STYLES

__all__ = [
    "GENERATOR_VERSION",
    "HELD_OUT_STYLES",
    "SCENE_ONTOLOGY",
    "SEED_RANGES",
    "SOURCE_STYLE",
    "STYLES",
    "TARGET_STYLES",
    "Scene",
    "SceneDataset",
    "generate_scene",
    "split_seeds",
]
