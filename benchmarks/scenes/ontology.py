"""The classes of the generated scenes."""

from models.ontology import ClassInfo, Ontology

ROAD, SIDEWALK, BUILDING, FENCE, POLE, SIGN, VEGETATION, SKY, PERSON, CAR = range(10)

SCENE_ONTOLOGY = Ontology(
    name="selvage-scenes",
    classes=(
        ClassInfo(ROAD, "road", "stuff", (128, 64, 128)),
        ClassInfo(SIDEWALK, "sidewalk", "stuff", (244, 35, 232)),
        ClassInfo(BUILDING, "building", "stuff", (70, 70, 70)),
        ClassInfo(FENCE, "fence", "stuff", (190, 153, 153)),
        ClassInfo(POLE, "pole", "stuff", (153, 153, 153)),
        ClassInfo(SIGN, "traffic sign", "thing", (220, 220, 0)),
        ClassInfo(VEGETATION, "vegetation", "stuff", (107, 142, 35)),
        ClassInfo(SKY, "sky", "stuff", (70, 130, 180)),
        ClassInfo(PERSON, "person", "thing", (220, 20, 60)),
        ClassInfo(CAR, "car", "thing", (0, 0, 142)),
    ),
)
