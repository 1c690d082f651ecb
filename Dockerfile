# syntax=docker/dockerfile:1
#
#   docker build --target serve -t charwgan:serve .      docker run -p 8000:8000 -v ./names-model:/model:ro charwgan:serve
#   docker build --target train -t charwgan:train .
#   docker run --user "$(id -u)" -e CHARWGAN_CACHE=/data/cache -v ./:/data charwgan:train \
#     train /data/names.txt --run /data/runs/names
#
# The versions are those of constraints.txt.

ARG PYTHON_IMAGE=python:3.11-slim-bookworm

FROM ${PYTHON_IMAGE} AS wheel
WORKDIR /source
COPY . .
RUN pip wheel --no-cache-dir --no-deps --wheel-dir /wheels .

# Environments are made apart from the images that hold them, so that neither pip's cache nor the wheel stays in a layer.

FROM wheel AS serve-environment
RUN python -m venv /opt/charwgan \
 && /opt/charwgan/bin/pip install --no-cache-dir --constraint constraints.txt /wheels/*.whl

FROM wheel AS train-environment
# torch comes with CUDA; for its small CPU wheels name the index that has them: --build-arg TORCH_INDEX=https://...
ARG TORCH_INDEX=
RUN python -m venv /opt/charwgan \
 && /opt/charwgan/bin/pip install --no-cache-dir --constraint constraints.txt \
      ${TORCH_INDEX:+--extra-index-url "${TORCH_INDEX}"} "$(echo /wheels/*.whl)[train]"

FROM ${PYTHON_IMAGE} AS train
COPY --from=train-environment /opt/charwgan /opt/charwgan
RUN useradd --uid 10001 --create-home charwgan
ENV PATH=/opt/charwgan/bin:$PATH PYTHONUNBUFFERED=1
USER 10001
WORKDIR /home/charwgan
ENTRYPOINT ["charwgan"]
CMD ["--help"]

# Last, so that a build without --target makes the small image.
FROM ${PYTHON_IMAGE} AS serve
COPY --from=serve-environment /opt/charwgan /opt/charwgan
RUN useradd --uid 10001 --create-home charwgan
ENV PATH=/opt/charwgan/bin:$PATH PYTHONUNBUFFERED=1 CHARWGAN_PORT=8000
USER 10001
WORKDIR /home/charwgan
EXPOSE 8000
VOLUME /model
# urlopen raises on 503, and Python then exits with 1: not ready.
HEALTHCHECK --interval=10s --timeout=3s --start-period=60s --retries=3 \
  CMD ["python", "-c", "import os, urllib.request; urllib.request.urlopen(f'http://127.0.0.1:{os.environ[\"CHARWGAN_PORT\"]}/readyz', timeout=2)"]
ENTRYPOINT ["charwgan"]
CMD ["serve", "--model", "/model", "--host", "0.0.0.0"]
