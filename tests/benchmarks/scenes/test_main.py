import numpy as np
from PIL import Image

from benchmarks.scenes import SCENE_ONTOLOGY, generate_scene
from benchmarks.scenes.__main__ import write_scenes


def test_written_files_hold_the_scene(tmp_path):
    out, labels, instances = (tmp_path / name for name in ("images", "labels", "instances"))
    files = write_scenes(
        "night", range(8, 10), out, labels, instances, size_hw=(64, 80), progress=False
    )
    assert [path.name for path in files] == ["night_0000008.png", "night_0000009.png"]
    scene = generate_scene("night", 9, (64, 80))
    np.testing.assert_array_equal(np.asarray(Image.open(files[1])), scene.image)
    label = Image.open(labels / files[1].name)
    assert label.mode == "P"
    np.testing.assert_array_equal(np.asarray(label), scene.label)
    palette = label.getpalette()
    assert palette is not None
    assert palette[:3] == list(SCENE_ONTOLOGY.classes[0].color)
    np.testing.assert_array_equal(
        np.asarray(Image.open(instances / files[1].name)), scene.instances
    )
