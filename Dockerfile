# The image of every Kubeflow component, and of `docker run ... slimgen run RECIPE`. Build and name it with
#   docker build --build-arg REVISION="$(git rev-parse HEAD)" --tag "$(python -m components.image)" .
# PIP_EXTRA_INDEX_URL may name an index with other builds of torch, for example without CUDA.

FROM python:3.11-slim AS build
ARG PIP_EXTRA_INDEX_URL=""
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
RUN python -m venv /opt/slimgen
ENV PATH=/opt/slimgen/bin:$PATH
WORKDIR /build
COPY pyproject.toml constraints.txt README.md LICENSE ./
# First what slimgen needs, around the file that says its version: a layer that most changes of the code leave as it is.
COPY core/slimgen/__init__.py core/slimgen/
RUN pip install --constraint constraints.txt ".[kubeflow]"
COPY core core
RUN pip install --no-deps --force-reinstall .

FROM python:3.11-slim
ARG REVISION=""
LABEL org.opencontainers.image.title="slimgen" \
      org.opencontainers.image.description="Searches and compresses the generators of GANs, and exports them to ONNX" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.revision="${REVISION}"
COPY --from=build /opt/slimgen /opt/slimgen
# Group 0 may write, so that clusters which choose the user themselves can run it too.
RUN useradd --uid 10001 --gid 0 --create-home slimgen && install --directory --owner=10001 --group=0 --mode=0775 /work
ENV PATH=/opt/slimgen/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    MPLCONFIGDIR=/tmp/matplotlib
USER 10001:0
WORKDIR /work
# No entry point: Kubeflow starts components by `sh -c`.
CMD ["slimgen", "--help"]
