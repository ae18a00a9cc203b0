# Two images of one program: `slim` (API, scheduler, migrations: no torch) and `worker` (torch).
# The program runs from its checkout in /app.
#
# On a machine without a GPU, `--build-arg PIP_EXTRA_INDEX_URL=…` can name an index that has the CPU
# build of torch; without it pip takes the build for CUDA, which runs on a CPU too.
FROM python:3.11-slim AS base
ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 PATH=/venv/bin:$PATH \
    SELVAGE_DATA_DIR=/data SELVAGE_LOG_FORMAT=json
RUN useradd --uid 10001 --create-home selvage && install -d -o selvage /data
WORKDIR /app

FROM base AS slim-packages
COPY requirements.lock .
# What only the label workers and the tests need.
ARG NOT_IN_SLIM="torch|transformers|tokenizers|safetensors|hf-xet|huggingface-hub|regex|sympy|mpmath|networkx|pgserver|hypothesis|mypy|ruff|pytest|pytest-timeout|import-linter|grimp|pip-tools"
RUN python -m venv /venv \
    && grep -v -E "^($NOT_IN_SLIM)==" requirements.lock > slim.lock \
    && pip install --no-cache-dir -r slim.lock

FROM slim-packages AS worker-packages
ARG PIP_EXTRA_INDEX_URL
RUN pip install --no-cache-dir -r requirements.lock

FROM base AS slim
COPY --from=slim-packages /venv /venv
COPY . .
RUN pip install --no-cache-dir --no-build-isolation --no-deps -e .
USER selvage
CMD ["python", "-m", "service"]

FROM base AS worker
COPY --from=worker-packages /venv /venv
COPY . .
RUN pip install --no-cache-dir --no-build-isolation --no-deps -e .
USER selvage
CMD ["python", "-m", "workers.parent", "--device", "auto"]
