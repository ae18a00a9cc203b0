import subprocess
import sys
from pathlib import Path


def test_what_the_slim_processes_use_imports_no_torch():
    modules = ["config", "digest", "errors", "ontology", "selection"]
    code = "import sys; " + "; ".join(f"import models.{name}" for name in modules)
    code += "; sys.exit('torch' in sys.modules or 'transformers' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[2], check=True)
