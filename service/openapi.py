"""Parts of the OpenAPI document that FastAPI cannot derive: multipart bodies and examples."""

from typing import Any

_BINARY = {"type": "string", "format": "binary", "contentMediaType": "application/octet-stream"}


def multipart_body(
    file_field: str, *, many: bool, fields: dict[str, dict[str, Any]], required: list[str]
) -> dict[str, Any]:
    """Return the `openapi_extra` of an endpoint that reads multipart/form-data itself."""
    files: dict[str, Any] = {"type": "array", "items": _BINARY} if many else dict(_BINARY)
    schema = {
        "type": "object",
        "properties": {file_field: files, **fields},
        "required": [file_field, *required],
        "additionalProperties": False,
    }
    return {
        "requestBody": {"required": True, "content": {"multipart/form-data": {"schema": schema}}}
    }


NAME_FIELD = {"type": "string", "maxLength": 256, "description": "Your name for the image set"}
MODEL_FIELD = {"type": "string", "examples": ["demo", "demo:2"], "description": "name or name:n"}
PIPELINE_FIELD = {
    "type": "string",
    "contentMediaType": "application/json",
    "contentSchema": {"$ref": "#/components/schemas/PipelineConfig"},
    "examples": ['{"predict": {"flip": true}, "select": {"keep_fraction": 0.5}}', "strict@2"],
    "description": "The label path as JSON, or the name of a stored one; without it predict and "
    "class-balanced select",
}
METADATA_FIELD = {
    "type": "string",
    "contentMediaType": "application/json",
    "examples": ['{"ticket": "ML-42"}'],
    "description": "Up to 32 short strings as a JSON object, returned as they came",
}
PRIORITY_FIELD = {"type": "integer", "minimum": -100, "maximum": 100, "default": 0}
SCHEDULE_AT_FIELD = {
    "type": "string",
    "format": "date-time",
    "examples": ["2026-11-20T22:00:00Z"],
    "description": "Not begun before",
}
DEADLINE_AT_FIELD = {
    "type": "string",
    "format": "date-time",
    "examples": ["2026-11-21T05:00:00Z"],
    "description": "What is not done by then is cancelled; the job ends `expired`",
}
FAILURE_POLICY_FIELD = {
    "type": "string",
    "contentMediaType": "application/json",
    "contentSchema": {"$ref": "#/components/schemas/FailurePolicy"},
    "examples": ['{"max_failed_fraction": 0.2, "max_attempts": 2}'],
    "description": "When the job stops early, as a JSON object",
}
WEBHOOK_FIELD = {
    "type": "string",
    "contentMediaType": "application/json",
    "contentSchema": {"$ref": "#/components/schemas/JobWebhook"},
    "examples": ['{"endpoint": "ci", "events": ["job.succeeded", "job.failed"]}'],
    "description": "Whom to tell about the job, as a JSON object",
}
PURPOSE_FIELD = {"type": "string", "enum": ["source", "validation", "evaluation", "initial"]}
IGNORE_FIELD = {
    "type": "integer",
    "minimum": 0,
    "maximum": 255,
    "description": "Value that means ignore in the PNGs; default: classes.json's, else 255",
}

_SET, _JOB = "set_01J9Z3N6V1QG8T2B4C5D6E7F8G", "job_01J9Z3N6V1QG8T2B4C5D6E7F8G"
JOB_EXAMPLES: dict[str, Any] = {
    "generate": {
        "summary": "Label an image set",
        "value": {
            "type": "generate",
            "image_set": _SET,
            "model": "demo",
            "pipeline": {"select": {"mode": "class_balanced", "keep_fraction": 0.7}},
        },
    },
    "refine": {
        "summary": "Label the images of a job again, tonight, with the model that is current then",
        "value": {
            "type": "refine",
            "labels": {"job": _JOB},
            "pipeline": "strict@2",
            "schedule_at": "2026-11-20T22:00:00Z",
            "deadline_at": "2026-11-21T05:00:00Z",
            "metadata": {"ticket": "ML-42"},
        },
    },
    "adapt": {
        "summary": "Re-estimate a model's normalisation statistics",
        "value": {"type": "adapt", "image_set": _SET, "model": "demo", "promote": True},
    },
    "refine_initial": {
        "summary": "Grow and correct labels that were uploaded",
        "value": {
            "type": "refine",
            "labels": {"annotation_set": "ann_01J9Z3N6V1QG8T2B4C5D6E7F8G"},
            "model": "demo",
            "pipeline": {"aggregate": {"region_model": "graph"}, "correct": {}},
        },
    },
    "fit_connectivity": {
        "summary": "Fit a model's classifier of regions on labelled source images",
        "value": {
            "type": "fit_connectivity",
            "annotation_set": "ann_01J9Z3N6V1QG8T2B4C5D6E7F8G",
            "model": "demo",
        },
    },
    "fit_rectifier": {
        "summary": "Fit a model's rectifier on labelled source images",
        "value": {
            "type": "fit_rectifier",
            "annotation_set": "ann_01J9Z3N6V1QG8T2B4C5D6E7F8G",
            "model": "demo",
            "promote": True,
        },
    },
    "train": {
        "summary": "Train a model on a label set and labelled source images",
        "value": {
            "type": "train",
            "model": "demo",
            "label_set": "lbs_01J9Z3N6V1QG8T2B4C5D6E7F8G",
            "source": {"annotations": "ann_01J9Z3N6V1QG8T2B4C5D6E7F8G"},
            "recipe": {"batch_size": 4, "learning_rate": 0.001},
            "steps": 2000,
            "promote": True,
        },
    },
    "evaluate": {
        "summary": "Score the labels of a job",
        "value": {
            "type": "evaluate",
            "annotation_set": "ann_01J9Z3N6V1QG8T2B4C5D6E7F8G",
            "labels_of_job": _JOB,
        },
    },
}
API_KEY_EXAMPLES: dict[str, Any] = {
    "import": {
        "summary": "A key that uploads and labels, within limits",
        "value": {
            "name": "nightly import",
            "scopes": ["write"],
            "expires_at": "2099-12-31T23:59:59Z",
            "quota": {"jobs": 10, "queued_images": 100000},
        },
    }
}
SCHEDULE_EXAMPLES: dict[str, Any] = {
    "nightly": {
        "summary": "Refine the labels of a job at night with the model that is current then",
        "value": {
            "name": "nightly refinement",
            "cron": "30 2 * * MON-FRI",
            "time_zone": "Europe/Berlin",
            "job": {"type": "refine", "labels": {"job": _JOB}},
            "overlap": "skip",
        },
    }
}
SCHEDULE_CHANGE_EXAMPLES: dict[str, Any] = {
    "later": {"summary": "An hour later", "value": {"cron": "30 3 * * MON-FRI"}},
    "stop": {"summary": "Let due times pass", "value": {"paused": True}},
}
FILTER = {
    "max_length": 1000,
    "description": "Comparisons joined by AND. Values with other signs than letters, digits and "
    "`_ . : + / @ -` stand in double quotes.",
}
JOB_FILTER = {
    **FILTER,
    "examples": [
        'status=running AND metadata.ticket="ML-42"',
        "model=demo:2 AND created_at>2026-01-01T00:00:00Z",
    ],
}
ITEM_FILTER = {**FILTER, "examples": ["status=failed AND error=image-undecodable", "quality<0.5"]}
ENTRY_FILTER = {**FILTER, "examples": ["status=rejected AND problem=not-an-image"]}
RETRY_EXAMPLES: dict[str, Any] = {
    "failed": {"summary": "Only what failed", "value": {"only": "failed"}}
}
PIPELINE_EXAMPLES: dict[str, Any] = {
    "strict": {
        "summary": "Keep the surest half",
        "value": {
            "name": "strict",
            "config": {"predict": {"flip": True}, "select": {"keep_fraction": 0.5}},
            "description": "For night images",
        },
    }
}
ONTOLOGY_EXAMPLES: dict[str, Any] = {
    "street": {
        "summary": "Three classes",
        "value": {
            "name": "street",
            "classes": [
                {"name": "road", "color": [128, 64, 128], "aliases": ["street"], "train_id": 0},
                {"name": "sky", "color": [70, 130, 180], "train_id": 10},
                {"name": "car", "kind": "thing"},
            ],
        },
    }
}
LABEL_SET_EXAMPLES: dict[str, Any] = {
    "surest": {
        "summary": "The surest labels of a job, so that no class is lost, and those by people",
        "value": {
            "name": "night, first round",
            "jobs": [_JOB],
            "annotation_set": "ann_01J9Z3N6V1QG8T2B4C5D6E7F8G",
            "selection": {
                "min_quality": 0.8,
                "max_images": 2000,
                "balance": "classes",
                "reviewed_weight": 2.0,
            },
        },
    }
}
EXPORT_EXAMPLES: dict[str, Any] = {
    "cityscapes": {
        "summary": "Labels of a job for training code that reads Cityscapes",
        "value": {
            "format": "cityscapes",
            "source": {"job": _JOB},
            "filters": {"min_quality": 0.8},
            "options": {"include_images": True, "class_map": {"tree": "vegetation"}},
        },
    },
    "cvat": {
        "summary": "Labels for CVAT: import the zip as 'Segmentation mask 1.1'",
        "value": {"format": "cvat-mask", "source": {"image_set": _SET}},
    },
    "label-studio": {
        "summary": "Tasks with predictions for Label Studio",
        "value": {
            "format": "label-studio",
            "source": {"image_set": _SET},
            "options": {"image_url": "s3://bucket/night/{external_id}"},
        },
    },
}
CAMPAIGN_EXAMPLES: dict[str, Any] = {
    "uda": {
        "summary": "Three rounds with labelled source images, reported against true labels",
        "value": {
            "name": "to the night",
            "model": "demo:1",
            "target": _SET,
            "setting": "uda",
            "source": {"annotations": "ann_01J9Z3N6V1QG8T2B4C5D6E7F8G"},
            "pipeline": {"select": {"mode": "class_balanced", "keep_fraction": 0.7}},
            "recipe": {"batch_size": 4, "terms": {}},
            "rounds": 3,
            "steps": 2000,
            "evaluation": "ann_01J9Z3N6V1QG8T2B4C5D6E7F8H",
            "promote": True,
        },
    },
    "source_free": {
        "summary": "Without source images",
        "value": {"model": "demo:1", "target": _SET, "setting": "source_free", "rounds": 2},
    },
}
UPLOAD_EXAMPLES: dict[str, Any] = {
    "archive": {
        "summary": "A zip of 3 GB",
        "value": {
            "file_name": "night.zip",
            "size_bytes": 3_221_225_472,
            "sha256": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
        },
    }
}
UPLOAD_COMPLETE_EXAMPLES: dict[str, Any] = {
    "checked": {
        "summary": "With what was sent",
        "value": {"parts": [{"number": 1, "etag": "9bb58f26192e4ba00f01e2e7b136bbd8"}]},
    }
}
_MODEL_FORM = multipart_body(
    "file",
    many=False,
    fields={
        "promote": {"type": "string", "enum": ["true", "false"], "default": "false"},
        "metadata": METADATA_FIELD,
    },
    required=[],
)
MODEL_VERSION_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            **_MODEL_FORM["requestBody"]["content"],
            "application/json": {
                "schema": {"$ref": "#/components/schemas/ModelVersionCreate"},
                "examples": {
                    "upload": {
                        "summary": "A zip or tar that was uploaded in parts",
                        "value": {
                            "source": {
                                "type": "upload",
                                "upload": "upl_01J9Z3N6V1QG8T2B4C5D6E7F8G",
                            },
                            "promote": True,
                        },
                    },
                    "s3_prefix": {
                        "summary": "A folder of a bucket",
                        "value": {
                            "source": {
                                "type": "s3_prefix",
                                "connection": "models",
                                "prefix": "street-2/",
                            },
                        },
                    },
                },
            },
        },
    }
}
_IMAGES_FORM = multipart_body("files", many=True, fields={"name": NAME_FIELD}, required=[])
_MASK_FORM = multipart_body(
    "file",
    many=False,
    fields={
        "decision": {"type": "string", "enum": ["correct"], "default": "correct"},
        "note": {
            "type": "string",
            "maxLength": 2000,
            "examples": ["the kerb was road"],
            "description": "Yours: why",
        },
        "stored_ignore_value": {**IGNORE_FIELD, "default": 255, "description": "Means ignore"},
    },
    required=[],
)
REVIEW_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {"$ref": "#/components/schemas/ReviewCreate"},
                "examples": {
                    "accept": {"summary": "It is right", "value": {"decision": "accept"}},
                    "reject": {
                        "summary": "It must not train",
                        "value": {"decision": "reject", "note": "glare"},
                    },
                },
            },
            **_MASK_FORM["requestBody"]["content"],
        },
    }
}
_IMPORT_FORM = multipart_body(
    "file",
    many=False,
    fields={
        "image_set": {"type": "string", "examples": [_SET]},
        "format": {"type": "string", "enum": ["index_png", "label_studio", "cvat", "coco"]},
        "job": {
            "type": "string",
            "examples": [_JOB],
            "description": "Whose labels were corrected; by default the newest of the set",
        },
        "unknown_classes": {"type": "string", "enum": ["refuse", "ignore"], "default": "refuse"},
        "metadata": METADATA_FIELD,
    },
    required=["image_set", "format"],
)
IMPORT_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {"$ref": "#/components/schemas/ImportCreate"},
                "examples": {
                    "label_studio": {
                        "summary": "An export of Label Studio, uploaded before",
                        "value": {
                            "image_set": _SET,
                            "format": "label_studio",
                            "upload": "upl_01J9Z3N6V1QG8T2B4C5D6E7F8G",
                        },
                    }
                },
            },
            **_IMPORT_FORM["requestBody"]["content"],
        },
    }
}
IMAGE_SET_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            **_IMAGES_FORM["requestBody"]["content"],
            "application/json": {
                "schema": {"$ref": "#/components/schemas/ImageSetCreate"},
                "examples": {
                    "urls": {
                        "summary": "Files by URL",
                        "value": {
                            "name": "night",
                            "source": {
                                "type": "urls",
                                "items": [
                                    {"url": "https://example.com/1.jpg", "external_id": "frame-1"}
                                ],
                            },
                        },
                    },
                    "s3_prefix": {
                        "summary": "A folder of a bucket",
                        "value": {
                            "source": {
                                "type": "s3_prefix",
                                "connection": "lab-bucket",
                                "prefix": "night/",
                            }
                        },
                    },
                    "manifest": {
                        "summary": "Files named by a list",
                        "value": {
                            "source": {
                                "type": "manifest",
                                "connection": "lab-bucket",
                                "key": "lists/night.jsonl",
                            }
                        },
                    },
                    "upload": {
                        "summary": "An archive that was uploaded in parts",
                        "value": {
                            "source": {
                                "type": "upload",
                                "upload": "upl_01J9Z3N6V1QG8T2B4C5D6E7F8G",
                            }
                        },
                    },
                },
            },
        },
    }
}
