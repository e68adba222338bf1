# The service and what it needs to run; no pip, no compiler, no development parts. See docs/deployment.md.

# Any image of Debian or Ubuntu with Python >= 3.11 and its venv module. Pin it by digest where builds must repeat.
ARG PYTHON_IMAGE=python:3.13-slim-trixie


FROM ${PYTHON_IMAGE} AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
WORKDIR /build

# Everything but the service itself, by digest; again only when a lock changes. A configuration of pip (a mirror, its
# password, a proxy) can be lent for the length of the step: docker build --secret id=pip,src=pip.conf. It stays nowhere.
COPY deploy/requirements.lock deploy/requirements-build.lock ./
RUN --mount=type=secret,id=pip,target=/etc/pip.conf \
    python3 -m venv tools \
    && tools/bin/pip install --require-hashes --no-deps --only-binary :all: -r requirements-build.lock \
    && python3 -m venv --without-pip /opt/authsvc \
    && tools/bin/pip --python /opt/authsvc/bin/python install \
        --require-hashes --no-deps --only-binary :all: -r requirements.lock

COPY pyproject.toml README.md ./
COPY migrations migrations
COPY authsvc authsvc
RUN tools/bin/hatchling build -t wheel \
    && tools/bin/pip --python /opt/authsvc/bin/python install --no-index --no-deps dist/authsvc-*.whl


FROM ${PYTHON_IMAGE}

# What the base brings to install more with.
RUN rm -rf /usr/local/bin/pip* /usr/local/lib/python3*/site-packages/pip* /usr/local/lib/python3*/ensurepip \
        /usr/lib/python3*/ensurepip /usr/share/python-wheels \
    && groupadd --gid 10001 authsvc \
    && useradd --uid 10001 --gid authsvc --home-dir /nonexistent --no-create-home --shell /usr/sbin/nologin authsvc

COPY --from=build /opt/authsvc /opt/authsvc
ENV PATH=/opt/authsvc/bin:${PATH} \
    PYTHONDONTWRITEBYTECODE=1

# As numbers: Kubernetes cannot tell from a name whether it is root.
USER 10001:10001
# Nothing is read from here; `authsvc` looks for the data of `authsvc dev` in the working directory.
WORKDIR /

# The service, and for operators alone the management port. It writes nothing but its numbers, to a directory in /tmp.
EXPOSE 8000 9000
STOPSIGNAL SIGTERM
# Docker's own; Kubernetes has probes. Stands for the processes, not for PostgreSQL, as /livez does.
HEALTHCHECK --interval=10s --timeout=3s --start-period=60s --retries=3 CMD ["/opt/authsvc/bin/python", "-IS", "-c", "from http.client import HTTPConnection as C; c = C('127.0.0.1', 9000, timeout=2); c.request('GET', '/livez'); raise SystemExit(c.getresponse().status != 200)"]
ENTRYPOINT ["authsvc"]
CMD ["serve", "--host", "0.0.0.0", "--management-host", "0.0.0.0"]

ARG VERSION="" REVISION=""
LABEL org.opencontainers.image.title="authsvc" \
    org.opencontainers.image.description="An identity service whose revoked tokens are dead everywhere the moment the call returns." \
    org.opencontainers.image.licenses="Apache-2.0" \
    org.opencontainers.image.version="${VERSION}" \
    org.opencontainers.image.revision="${REVISION}"
