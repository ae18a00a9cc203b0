"""A process that keeps the contract of `models.adaptation` and trains nothing, in no time.

`python -m tests.support.stand_in_trainer RUN_FOLDER`. Its "weights" are a chain of digests over
seed, data and steps, so that a run that was disturbed ends with the bytes of one that was not only
if it went on from the right step with the right data. `recipe.terms.stand_in` tells it to behave
badly.
"""

import hashlib
import json
import os
import shutil
import signal
import sys
import time
from pathlib import Path
from typing import Any

KEPT = 2


class StandIn:
    def __init__(self, run: Path) -> None:
        self.run = run
        self.spec: dict[str, Any] = json.loads((run / "spec.json").read_text())
        self.orders: dict[str, Any] = self.spec["recipe"].get("terms", {}).get("stand_in", {})
        self.stopping = False
        self.starts = self._count_start()
        self.data = self._digest_of_data()
        self.images_read = self._read_data()

    def _count_start(self) -> int:
        path = self.run / "stand-in-starts"
        starts = int(path.read_text()) if path.exists() else 0
        path.write_text(str(starts + 1))
        return starts

    def _manifest(self, domain: str) -> list[dict[str, Any]]:
        path = self.run / domain / "manifest.jsonl"
        lines = path.read_text().splitlines() if path.exists() else []
        return [json.loads(line) for line in lines]

    def _digest_of_data(self) -> str:
        digest = hashlib.sha256()
        for domain in ("source", "target"):
            for line in self._manifest(domain):
                for name in ("image", "label", "confidence"):
                    if name in line:
                        digest.update((self.run / domain / line[name]).read_bytes())
        return digest.hexdigest()

    def _read_data(self) -> dict[str, int]:
        return {domain: len(self._manifest(domain)) for domain in ("source", "target")}

    def checkpoints(self) -> list[Path]:
        folder = self.run / "checkpoints"
        return sorted(folder.glob("step-*")) if folder.is_dir() else []

    def resume(self) -> tuple[int, str]:
        for folder in reversed(self.checkpoints()):
            state = json.loads((folder / "state.json").read_text())
            assert (folder / "model.safetensors").read_text() == state["state"]
            return state["step"], state["state"]
        return 0, f"{self.spec['seed']}:{self.data}"

    def save(self, step: int, state: str) -> None:
        target = self.run / "checkpoints" / f"step-{step:08d}"
        if not target.exists():
            temporary = target.with_name(f".tmp-{step}")
            temporary.mkdir(parents=True, exist_ok=True)
            (temporary / "state.json").write_text(json.dumps({"step": step, "state": state}))
            (temporary / "model.safetensors").write_text(state)
            temporary.rename(target)
        for old in self.checkpoints()[:-KEPT]:
            shutil.rmtree(old)

    def give_up(self, code: str, step: int, exit_code: int = 65) -> None:
        document = {"code": code, "message": f"The stand-in says {code}.", "step": step}
        (self.run / "error.json").write_text(json.dumps(document))
        sys.exit(exit_code)

    def misbehave(self, step: int) -> None:
        """Do what was ordered for this step; `times`: in so many of the first starts."""
        order = self.orders.get("at", {}).get(str(step))
        if order is None or self.starts >= order.get("times", 1):
            return
        if order["do"] == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        if order["do"] == "hang":
            time.sleep(3600)
        while order["do"] == "hold" and not self.stopping and not (self.run / "go").exists():
            self.tell(step)
            time.sleep(0.1)
        if order["do"] == "full":
            self.give_up("disk-full", step, 74)
        if order["do"] == "junk":
            with (self.run / "progress.jsonl").open("a") as file:
                file.write(
                    '{"step": NaN}\nnot json\n{"step": 1, "steps": 2, "losses": {"x": NaN}}\n'
                )
        if order["do"] == "give-up":
            self.give_up(order["code"], step)

    def tell(self, step: int) -> None:
        line = {
            "step": step,
            "steps": self.spec["steps"],
            "losses": {"source": 1.0 / (1 + step)},
            "figures": {"pseudo_iou": {"road": 0.5, "sky": 0.25}},
            "images_per_second": 8.0,
            "memory_bytes": 1000,
            "at": time.time(),
        }
        with (self.run / "progress.jsonl").open("a") as file:
            file.write(json.dumps(line) + "\n")

    def train(self) -> None:
        step, state = self.resume()
        every = self.spec["recipe"].get("checkpoint_every_steps", 100)
        while step < self.spec["steps"]:
            self.misbehave(step)
            time.sleep(self.orders.get("step_seconds", 0.0))
            step += 1
            state = hashlib.sha256(f"{state}:{step}".encode()).hexdigest()
            self.tell(step)
            if step % every == 0 or self.stopping:
                self.save(step, state)
            if self.stopping:
                sys.exit(75)
        self.finish(state)

    def finish(self, state: str) -> None:
        result = self.run / "result"
        shutil.rmtree(result, ignore_errors=True)
        shutil.copytree(self.run / "model", result / "model")
        path = result / "model" / "bundle.json"
        bundle = json.loads(path.read_text())
        bundle["provenance"] = {"stand_in": state}
        if self.orders.get("spoil_result"):
            bundle["files"] = {}
        path.write_text(json.dumps(bundle, sort_keys=True))
        document = {"steps": self.spec["steps"], "images": self.images_read, "loss": float("nan")}
        (self.run / ".result.tmp").write_text(json.dumps(document))
        (self.run / ".result.tmp").rename(self.run / "result.json")


def main() -> None:
    run = Path(sys.argv[1])
    if (run / "result.json").exists():
        return
    stand_in = StandIn(run)

    def stop(_signal: int, _frame: object) -> None:
        stand_in.stopping = not stand_in.orders.get("ignore_stop", False)

    signal.signal(signal.SIGTERM, stop)
    stand_in.train()


if __name__ == "__main__":
    main()
