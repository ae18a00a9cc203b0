# Two images of one program: `slim` (API, scheduler, light workers, migrations: no torch) and
# `worker` (label and training workers). The program runs from its checkout in /app.
#
# On a machine without a GPU, `--build-arg PIP_EXTRA_INDEX_URL=…` can name an index that has the CPU
# build of torch; without it pip takes the build for CUDA, which runs on a CPU too.
FROM python:3.11-slim AS base
# TMPDIR: request bodies are spooled there, and /tmp may be memory.
ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 PATH=/venv/bin:$PATH \
    SELVAGE_DATA_DIR=/data TMPDIR=/data SELVAGE_LOG_FORMAT=json
RUN useradd --uid 10001 --create-home selvage && install -d -o selvage /data
WORKDIR /app

FROM base AS slim-packages
COPY requirements-slim.lock .
RUN python -m venv /venv && pip install --no-cache-dir -r requirements-slim.lock

# Label and training workers add torch, transformers and safetensors in the versions of the lock.
FROM slim-packages AS worker-packages
ARG PIP_EXTRA_INDEX_URL
COPY requirements.lock .
RUN grep -E "^(torch|transformers|safetensors)==" requirements.lock > worker.txt \
    && pip install --no-cache-dir -r worker.txt -c requirements.lock

FROM base AS slim
COPY --from=slim-packages /venv /venv
COPY . .
RUN pip install --no-cache-dir --no-deps -e .
USER selvage
EXPOSE 8700
CMD ["python", "-m", "service"]

FROM base AS worker
COPY --from=worker-packages /venv /venv
COPY . .
RUN pip install --no-cache-dir --no-deps -e .
USER selvage
CMD ["python", "-m", "workers.parent", "--device", "auto"]
