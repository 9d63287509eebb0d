# Open Pay: one image for every role; the first argument chooses it (`openpay api`, `openpay watcher`, …).
#   docker build --tag openpay .

FROM python:3.11-slim-bookworm AS build
WORKDIR /src

# Dependencies first: this layer is built again only when the lock changes. Every package is checked against its hash.
COPY requirements.lock ./
RUN python -m venv /opt/openpay \
    && /opt/openpay/bin/pip install --no-cache-dir --require-hashes -r requirements.lock

# The build back end, pinned by hash too, stays in an environment of its own and out of the image.
COPY requirements-tools.lock ./
RUN awk '/^setuptools==/,!/\\$/' requirements-tools.lock > setuptools.lock \
    && python -m venv /opt/build \
    && /opt/build/bin/pip install --no-cache-dir --require-hashes -r setuptools.lock

COPY pyproject.toml ./
# openpay/chain/compiled is a link to these.
COPY contracts/artifacts contracts/artifacts
COPY openpay openpay
COPY watcher watcher
COPY checkout_web checkout_web
RUN /opt/build/bin/pip wheel --no-cache-dir --no-deps --no-build-isolation --wheel-dir dist . \
    && /opt/openpay/bin/pip install --no-cache-dir --no-deps --no-index dist/*.whl


FROM python:3.11-slim-bookworm
RUN groupadd --system --gid 10001 openpay \
    && useradd --system --uid 10001 --gid openpay --no-create-home --shell /usr/sbin/nologin openpay
COPY --from=build /opt/openpay /opt/openpay
ENV PATH=/opt/openpay/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
USER openpay
EXPOSE 8080
# SIGTERM ends every role cleanly.
STOPSIGNAL SIGTERM
ENTRYPOINT ["openpay"]
CMD ["--help"]
