# Three stages: the wheel of this project, the environment it runs in, and the image that ships.
# Build: docker build -t likewise .            Without a GPU, give --build-arg TORCH_ARGS (docs/operations.md): about 3 GB less.

FROM python:3.11-slim-bookworm AS wheel
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /src
COPY requirements-build.lock ./
RUN pip install --require-hashes -r requirements-build.lock
COPY pyproject.toml README.md LICENSE ./
COPY app ./app
COPY model ./model
COPY migrations ./migrations
RUN pip wheel --no-deps --no-build-isolation --wheel-dir /wheels .

FROM python:3.11-slim-bookworm AS environment
ARG TORCH_VERSION=2.13.0
ARG TORCH_ARGS=""
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /build
RUN python -m venv /opt/likewise
ENV PATH=/opt/likewise/bin:$PATH
# TORCH_ARGS holds whole pip options, so it must be split into words.
# hadolint ignore=DL3013,SC2086
RUN pip install "torch==${TORCH_VERSION}" ${TORCH_ARGS}
COPY requirements-runtime.lock ./
RUN pip install --require-hashes -r requirements-runtime.lock
COPY --from=wheel /wheels /wheels
# The wheel made above, by path: there is no version to pin.
# hadolint ignore=DL3013
RUN pip install --no-deps /wheels/*.whl && python -m compileall -q /opt/likewise/lib

FROM python:3.11-slim-bookworm
COPY --from=environment /opt/likewise /opt/likewise
# Everything that is written lies under /data (store and models of a single container) or /tmp: the root may be read-only.
RUN install -d -o 10001 -g 10001 -m 0750 /data /data/models
ENV PATH=/opt/likewise/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    LIKEWISE_DATABASE_URL=sqlite:////data/likewise.db \
    LIKEWISE_MODEL_DIR=/data/models \
    LIKEWISE_SPOOL_DIR=/data/spool \
    LIKEWISE_LOG_FORMAT=json
WORKDIR /data
USER 10001:10001
VOLUME /data
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s --retries=3 \
    CMD ["python", "-c", "from urllib.request import *; build_opener(ProxyHandler({})).open('http://127.0.0.1:8000/readyz', timeout=2).close()"]
ENTRYPOINT ["likewise"]
CMD ["serve", "--host", "0.0.0.0", "--port", "8000"]
