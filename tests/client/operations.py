"""Every operation of the API, and the method of the client that asks for it."""

from collections.abc import Callable
from typing import Any

Ask = Callable[[Any], Any]
Operation = tuple[str, str]

IMAGE = [("a.png", b"pixels")]
URLS = {"type": "urls", "urls": ["https://data.example.com/a.png"]}
SOURCE = {"job": "job_01J9Z3N6V1QG8T2B4C5D6E7F8G"}
GENERATE = {"type": "generate", "image_set": "set_01J9Z3N6V1QG8T2B4C5D6E7F8G", "model": "demo"}

# For probes and for Prometheus, by the address and without a key.
NOT_FOR_USERS: set[Operation] = {("GET", "/healthz"), ("GET", "/readyz"), ("GET", "/metrics")}

BY_OPERATION: dict[Operation, Ask] = {
    ("POST", "/v1/pseudo-labels"): lambda c: c.pseudo_labels(IMAGE, model="demo"),
    ("POST", "/v1/image-sets"): lambda c: c.create_image_set(IMAGE),
    ("GET", "/v1/image-sets"): lambda c: c.image_sets(),
    ("GET", "/v1/image-sets/{image_set_id}"): lambda c: c.image_set("x"),
    ("DELETE", "/v1/image-sets/{image_set_id}"): lambda c: c.delete_image_set("x"),
    ("GET", "/v1/image-sets/{image_set_id}/images"): lambda c: c.image_set_images("x"),
    ("GET", "/v1/images/{digest}"): lambda c: c.image("x"),
    ("GET", "/v1/annotation-sets/{annotation_set_id}"): lambda c: c.annotation_set("x"),
    ("DELETE", "/v1/annotation-sets/{annotation_set_id}"): lambda c: c.delete_annotation_set("x"),
    ("GET", "/v1/models"): lambda c: c.models(),
    ("GET", "/v1/models/{name}"): lambda c: c.model("x"),
    ("GET", "/v1/models/{name}/versions"): lambda c: c.versions("x"),
    ("POST", "/v1/models/{name}/versions"): lambda c: c.create_version(
        "x", {"type": "s3_prefix", "connection": "lab", "prefix": "m/"}
    ),
    ("GET", "/v1/models/{name}/versions/{number}"): lambda c: c.version("x", 1),
    ("DELETE", "/v1/models/{name}/versions/{number}"): lambda c: c.delete_version("x", 1),
    ("POST", "/v1/models/{name}/versions/{number}:promote"): lambda c: c.promote("x", 1),
    ("GET", "/v1/models/{name}/versions/{number}/ontology"): lambda c: c.ontologies.of_model(
        "x", 1
    ),
    (
        "GET",
        "/v1/models/{name}/versions/{number}/ontology/label-studio-config",
    ): lambda c: c.ontologies.label_studio_config_of_model("x", 1),
    (
        "GET",
        "/v1/models/{name}/versions/{number}/ontology/cvat-labels",
    ): lambda c: c.ontologies.cvat_labels_of_model("x", 1),
    ("POST", "/v1/jobs"): lambda c: c.create_job(GENERATE),
    ("GET", "/v1/jobs"): lambda c: c.jobs(),
    ("GET", "/v1/jobs/{job_id}"): lambda c: c.job("x"),
    ("DELETE", "/v1/jobs/{job_id}"): lambda c: c.delete_job("x"),
    ("GET", "/v1/jobs/{job_id}/items"): lambda c: c.items("x"),
    ("GET", "/v1/jobs/{job_id}/results"): lambda c: c.results("x"),
    ("GET", "/v1/jobs/{job_id}/events"): lambda c: c.events("x"),
    ("POST", "/v1/jobs/{job_id}:cancel"): lambda c: c.cancel("x"),
    ("POST", "/v1/jobs/{job_id}:retry"): lambda c: c.retry("x"),
    ("GET", "/v1/labels/{label_id}"): lambda c: c.label_as("x", "coco"),
    ("GET", "/v1/labels/{label_id}/lineage"): lambda c: c.lineage("x"),
    ("GET", "/v1/labels/{label_id}/artifacts/{name}"): lambda c: c.artifact("x", "label.png"),
    ("DELETE", "/v1/labels/{label_id}"): lambda c: c.delete_label("x"),
    ("GET", "/v1/review"): lambda c: c.reviews.queue(),
    ("POST", "/v1/labels/{label_id}:review"): lambda c: c.reviews.accept("x"),
    ("POST", "/v1/imports"): lambda c: c.reviews.import_file(__file__, "coco", "x"),
    ("GET", "/v1/labels/{label_id}/reviews"): lambda c: c.reviews.history("x"),
    ("POST", "/v1/campaigns"): lambda c: c.campaigns.start(
        "demo", "set_01J9Z3N6V1QG8T2B4C5D6E7F8G", setting="source_free"
    ),
    ("GET", "/v1/campaigns"): lambda c: c.campaigns.list(),
    ("GET", "/v1/campaigns/{campaign_id}"): lambda c: c.campaigns.get("x"),
    ("GET", "/v1/campaigns/{campaign_id}/rounds"): lambda c: c.campaigns.rounds("x"),
    ("GET", "/v1/campaigns/{campaign_id}/rounds/{number}"): lambda c: c.campaigns.round("x", 1),
    ("GET", "/v1/campaigns/{campaign_id}/events"): lambda c: c.campaigns.events("x"),
    ("POST", "/v1/campaigns/{campaign_id}:pause"): lambda c: c.campaigns.pause("x"),
    ("POST", "/v1/campaigns/{campaign_id}:resume"): lambda c: c.campaigns.resume("x"),
    ("POST", "/v1/campaigns/{campaign_id}:stop"): lambda c: c.campaigns.stop("x"),
    ("DELETE", "/v1/campaigns/{campaign_id}"): lambda c: c.campaigns.delete("x"),
    ("POST", "/v1/label-sets"): lambda c: c.label_sets.create(["job_01J9Z3N6V1QG8T2B4C5D6E7F8G"]),
    ("GET", "/v1/label-sets"): lambda c: c.label_sets.list(),
    ("GET", "/v1/label-sets/{label_set_id}"): lambda c: c.label_sets.get("x"),
    ("GET", "/v1/label-sets/{label_set_id}/entries"): lambda c: c.label_sets.entries("x"),
    ("DELETE", "/v1/label-sets/{label_set_id}"): lambda c: c.label_sets.delete("x"),
    ("POST", "/v1/exports"): lambda c: c.exports.create("coco", SOURCE),
    ("POST", "/v1/exports:validate"): lambda c: c.exports.validate("coco", SOURCE),
    ("GET", "/v1/exports"): lambda c: c.exports.list(),
    ("GET", "/v1/exports/{export_id}"): lambda c: c.exports.get("x"),
    ("GET", "/v1/exports/{export_id}/file"): lambda c: c.exports.content("x"),
    ("POST", "/v1/exports/{export_id}:cancel"): lambda c: c.exports.cancel("x"),
    ("DELETE", "/v1/exports/{export_id}"): lambda c: c.exports.delete("x"),
    ("POST", "/v1/webhook-endpoints"): lambda c: c.webhooks.create("x", "https://example.com/"),
    ("GET", "/v1/webhook-endpoints"): lambda c: c.webhooks.list(),
    ("GET", "/v1/webhook-endpoints/{reference}"): lambda c: c.webhooks.get("x"),
    ("PATCH", "/v1/webhook-endpoints/{reference}"): lambda c: c.webhooks.change("x", enabled=True),
    ("DELETE", "/v1/webhook-endpoints/{reference}"): lambda c: c.webhooks.delete("x"),
    ("POST", "/v1/webhook-endpoints/{reference}:ping"): lambda c: c.webhooks.ping("x"),
    (
        "POST",
        "/v1/webhook-endpoints/{reference}:rotate-secret",
    ): lambda c: c.webhooks.rotate_secret("x"),
    ("GET", "/v1/webhook-endpoints/{reference}/deliveries"): lambda c: c.webhooks.deliveries("x"),
    (
        "GET",
        "/v1/webhook-endpoints/{reference}/deliveries/{delivery_id}",
    ): lambda c: c.webhooks.delivery("x", "y"),
    (
        "POST",
        "/v1/webhook-endpoints/{reference}/deliveries/{delivery_id}:redeliver",
    ): lambda c: c.webhooks.redeliver("x", "y"),
    ("GET", "/v1/jobs/{job_id}/deliveries"): lambda c: c.webhooks.deliveries("job_x"),
    ("GET", "/v1/jobs/{job_id}/deliveries/{delivery_id}"): lambda c: c.webhooks.delivery(
        "job_x", "y"
    ),
    (
        "POST",
        "/v1/jobs/{job_id}/deliveries/{delivery_id}:redeliver",
    ): lambda c: c.webhooks.redeliver("job_x", "y"),
    ("POST", "/v1/api-keys"): lambda c: c.keys.create("x", ["read"]),
    ("GET", "/v1/api-keys"): lambda c: c.keys.list(),
    ("GET", "/v1/api-keys/{key_id}"): lambda c: c.keys.get("x"),
    ("DELETE", "/v1/api-keys/{key_id}"): lambda c: c.keys.revoke("x"),
    ("GET", "/v1/quota"): lambda c: c.quota(),
    ("GET", "/v1/system"): lambda c: c.system(),
    ("POST", "/v1/integrations"): lambda c: c.integrations.create(
        "city", "set_01J9Z3N6V1QG8T2B4C5D6E7F8G", "demo"
    ),
    ("GET", "/v1/integrations"): lambda c: c.integrations.list(),
    ("GET", "/v1/integrations/{reference}"): lambda c: c.integrations.get("x"),
    ("DELETE", "/v1/integrations/{reference}"): lambda c: c.integrations.delete("x"),
    ("POST", "/v1/connections"): lambda c: c.connections.create(
        "lab", "http", {"base_url": "https://data.example.com/"}
    ),
    ("GET", "/v1/connections"): lambda c: c.connections.list(),
    ("GET", "/v1/connections/{reference}"): lambda c: c.connections.get("x"),
    ("PATCH", "/v1/connections/{reference}"): lambda c: c.connections.change("x", name="y"),
    ("DELETE", "/v1/connections/{reference}"): lambda c: c.connections.delete("x"),
    ("POST", "/v1/connections/{reference}:test"): lambda c: c.connections.test("x"),
    ("POST", "/v1/uploads"): lambda c: c.uploads.create("a.zip", 3),
    ("GET", "/v1/uploads"): lambda c: c.uploads.list(),
    ("GET", "/v1/uploads/{upload_id}"): lambda c: c.uploads.get("x"),
    ("DELETE", "/v1/uploads/{upload_id}"): lambda c: c.uploads.delete("x"),
    ("PUT", "/v1/uploads/{upload_id}/parts/{number}"): lambda c: c.uploads.put_part("x", 1, b"a"),
    ("POST", "/v1/uploads/{upload_id}:complete"): lambda c: c.uploads.complete("x"),
    ("POST", "/v1/ontologies"): lambda c: c.ontologies.create("x", ["road", "sky"]),
    ("GET", "/v1/ontologies"): lambda c: c.ontologies.list(),
    ("GET", "/v1/ontologies/{ontology_id}"): lambda c: c.ontologies.get("x"),
    (
        "GET",
        "/v1/ontologies/{ontology_id}/label-studio-config",
    ): lambda c: c.ontologies.label_studio_config("x"),
    ("GET", "/v1/ontologies/{ontology_id}/cvat-labels"): lambda c: c.ontologies.cvat_labels("x"),
    ("POST", "/v1/pipelines"): lambda c: c.pipelines.create("x", {"select": None}),
    ("GET", "/v1/pipelines"): lambda c: c.pipelines.list(),
    ("GET", "/v1/pipelines/{name}"): lambda c: c.pipelines.get("x"),
    ("GET", "/v1/pipelines/{name}/versions"): lambda c: c.pipelines.versions("x"),
    ("GET", "/v1/pipelines/{name}/versions/{number}"): lambda c: c.pipelines.version("x", 1),
    ("POST", "/v1/schedules"): lambda c: c.schedules.create("x", "30 2 * * *", GENERATE),
    ("GET", "/v1/schedules"): lambda c: c.schedules.list(),
    ("GET", "/v1/schedules/{schedule_id}"): lambda c: c.schedules.get("x"),
    ("PATCH", "/v1/schedules/{schedule_id}"): lambda c: c.schedules.change("x", paused=True),
    ("DELETE", "/v1/schedules/{schedule_id}"): lambda c: c.schedules.delete("x"),
    ("POST", "/v1/schedules/{schedule_id}:pause"): lambda c: c.schedules.pause("x"),
    ("POST", "/v1/schedules/{schedule_id}:resume"): lambda c: c.schedules.resume("x"),
    ("POST", "/v1/schedules/{schedule_id}:run"): lambda c: c.schedules.run("x"),
    ("GET", "/v1/schedules/{schedule_id}/ticks"): lambda c: c.schedules.ticks("x"),
}

# Needs a file, so it is asked for apart.
WITH_A_FILE: set[Operation] = {("POST", "/v1/image-sets/{image_set_id}/annotations")}
