# Two images that differ in what they run and how they are asked whether they are well: `coordinator` (the default, also
# the command `amends`) and `participant` (the demo's services). Neither needs anything writable but /tmp.

FROM python:3.12-slim AS build
WORKDIR /source
RUN python -m venv /opt/amends
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
# What changes seldom goes first: the dependencies, at the versions that everything here was tested with.
COPY constraints.txt pyproject.toml README.md LICENSE ./
COPY participants/sdk/pyproject.toml participants/sdk/README.md participants/sdk/LICENSE ./participants/sdk/
RUN python -c "import tomllib; print('\n'.join( \
      [one for one in tomllib.load(open('pyproject.toml', 'rb'))['project']['dependencies'] if not one.startswith('amends')] \
      + [one for name, extra in tomllib.load(open('participants/sdk/pyproject.toml', 'rb'))['project']['optional-dependencies'].items() \
         if name != 'testing' for one in extra]))" > dependencies.txt \
 && /opt/amends/bin/pip install --quiet -c constraints.txt -r dependencies.txt hatchling editables
COPY migrations ./migrations
COPY coordinator ./coordinator
COPY participants ./participants
RUN /opt/amends/bin/pip install --quiet --no-deps --no-build-isolation ./participants/sdk . \
 && /opt/amends/bin/pip uninstall --quiet --yes hatchling editables pathspec pluggy trove-classifiers pip

FROM python:3.12-slim AS amends
# A service that is spoken to over TLS is checked against the system's authorities.
RUN apt-get update \
 && apt-get install --yes --no-install-recommends ca-certificates \
 && rm -rf /var/lib/apt/lists/* /var/cache/apt/* \
 && useradd --system --uid 10001 --user-group --no-create-home --home-dir /nonexistent amends
COPY --from=build /opt/amends /opt/amends
ENV PATH=/opt/amends/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 HOME=/tmp
USER 10001:10001
WORKDIR /tmp

# A service of the demo, and what a service of one's own may be built on. It keeps a file young while its loop turns.
FROM amends AS participant
ENV AMENDS_ALIVE_FILE=/tmp/alive
HEALTHCHECK --interval=5s --timeout=5s --start-period=30s --retries=5 \
  CMD ["python", "-I", "-S", "-c", "import os, sys, time; sys.exit(time.time() - os.stat('/tmp/alive').st_mtime > 30)"]
CMD ["python", "-m", "participants.order"]

FROM amends AS coordinator
ENV AMENDS_LOG_FORMAT=json AMENDS_HOST=0.0.0.0 AMENDS_PORT=8274
EXPOSE 8274
HEALTHCHECK --interval=5s --timeout=5s --start-period=30s --retries=5 \
  CMD ["python", "-I", "-S", "-c", "import http.client as h, os, sys; c = h.HTTPConnection('127.0.0.1', int(os.environ['AMENDS_PORT']), 4); c.request('GET', '/readyz'); sys.exit(c.getresponse().status != 200)"]
CMD ["amends", "serve"]
