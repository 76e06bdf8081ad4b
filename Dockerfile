# The service in a container: no root, read-only root file system, data in /data.
#
# The base may be any Debian-like image with Python 3.11 to 3.13, venv and pip. Where
# the network of the build is closed, put the wheels of requirements.lock and
# requirements-build.lock into deploy/wheelhouse first (scripts/check_image.sh does).
ARG BASE_IMAGE=python:3.12-slim-bookworm

# ---- wheels: every dependency, checked against the lock files, and ccdm itself
FROM ${BASE_IMAGE} AS wheels
WORKDIR /build
# requirements-dask.lock for a service, or a worker, of a Dask cluster.
ARG REQUIREMENTS=requirements.lock
COPY ${REQUIREMENTS} ./requirements.lock
COPY requirements-build.lock ./
COPY deploy/wheelhouse/ /wheelhouse/
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
RUN set -eu; \
    if ls /wheelhouse/*.whl >/dev/null 2>&1; then \
        export PIP_NO_INDEX=1 PIP_FIND_LINKS=/wheelhouse; \
    fi; \
    python3 -m venv /opt/pip; \
    /opt/pip/bin/pip install --require-hashes -r requirements-build.lock; \
    /opt/pip/bin/pip download --require-hashes --only-binary :all: \
        --dest /wheels -r requirements.lock
COPY pyproject.toml README.md LICENSE ./
COPY ccdm_engine/ ccdm_engine/
COPY service/ service/
RUN set -eu; \
    /opt/pip/bin/pip wheel --no-index --no-deps --no-build-isolation \
        --wheel-dir /wheels .; \
    sha256sum /wheels/ccdm-*.whl > sums; \
    sed -E 's|^([0-9a-f]+) +(.*)$|\2 --hash=sha256:\1|' sums > ccdm.lock

# ---- install: an environment without pip, from those wheels alone
FROM wheels AS install
RUN set -eu; \
    python3 -m venv --without-pip /opt/ccdm; \
    /opt/pip/bin/pip --python /opt/ccdm/bin/python install \
        --no-index --find-links /wheels --require-hashes \
        -r requirements.lock -r ccdm.lock

# ---- the image
FROM ${BASE_IMAGE}
ARG VERSION=unknown
LABEL org.opencontainers.image.title="ccdm" \
      org.opencontainers.image.description="Data assimilation over HTTP with closed-form conditional diffusion models" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}"
RUN set -eu; \
    groupadd --gid 10001 ccdm; \
    useradd --uid 10001 --gid ccdm --no-create-home --home-dir /data \
        --shell /usr/sbin/nologin ccdm; \
    install -d -o ccdm -g ccdm -m 0700 /data
COPY --from=install /opt/ccdm /opt/ccdm
# One BLAS thread a worker: several on small products are many times slower.
ENV PATH=/opt/ccdm/bin:/usr/local/bin:/usr/bin:/bin \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    OPENBLAS_NUM_THREADS=1 \
    XDG_DATA_HOME=/data \
    CCDM_STORE_URL=sqlite:////data/sessions.sqlite3 \
    CCDM_PORT=8000
USER 10001:10001
WORKDIR /data
VOLUME /data
EXPOSE 8000
STOPSIGNAL SIGTERM
# Alive, not ready: a service whose Redis is away must not be killed for it.
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 \
    CMD ["python", "-c", "import os, urllib.request as r; r.urlopen('http://127.0.0.1:' + os.environ['CCDM_PORT'] + '/livez', timeout=4)"]
CMD ["ccdm", "serve", "--host", "0.0.0.0"]
