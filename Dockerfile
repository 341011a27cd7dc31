# The image of Aparté. Two stages: the first builds, the second holds only what runs.
#
#   docker build -t aparte .
#   docker run --rm --entrypoint aparte ... aparte init      makes the keys, once
#   docker run ... aparte                                     serves
#
# Three volumes, so that a copy of one is worth nothing without the others: data, key ring, root key.

FROM python:3.13-slim AS build
WORKDIR /src

COPY requirements-build.lock requirements-postgres.lock ./
RUN python -m venv /opt/build && /opt/build/bin/pip install --quiet --require-hashes -r requirements-build.lock
RUN python -m venv /opt/aparte && /opt/aparte/bin/pip install --quiet --require-hashes -r requirements-postgres.lock

COPY pyproject.toml README.md LICENSE ./
COPY server ./server
COPY widget ./widget
COPY static ./static
RUN /opt/build/bin/hatchling build --target wheel --directory /src/dist
RUN /opt/aparte/bin/pip install --quiet --no-deps --no-index /src/dist/*.whl && /opt/aparte/bin/pip uninstall --quiet --yes pip

FROM python:3.13-slim
COPY --from=build /opt/aparte /opt/aparte

# Nobody's account: a number without a name, a shell or a home. It owns the three folders and nothing else.
RUN install -d -o 10001 -g 10001 -m 0700 /var/lib/aparte/data /var/lib/aparte/keyring /var/lib/aparte/key

ENV PATH=/opt/aparte/bin:/usr/local/bin:/usr/bin:/bin \
    HOME=/tmp \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    APARTE_DATA=/var/lib/aparte/data \
    APARTE_KEYRING=/var/lib/aparte/keyring/keyring.db \
    APARTE_ROOT_KEY=/var/lib/aparte/key/root.key \
    APARTE_HOST=0.0.0.0 \
    APARTE_PORT=8080

USER 10001:10001
WORKDIR /tmp
EXPOSE 8080
VOLUME ["/var/lib/aparte/data", "/var/lib/aparte/keyring", "/var/lib/aparte/key"]
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s --retries=3 \
    CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:8080/healthz', timeout=2)"]
ENTRYPOINT ["aparte", "serve"]
