# One image for every role: `node examples/orders/api.ts` serves, `node examples/orders/job.ts` works on one order, and
# `node dist/cli/main.js work` works on many, with `--until-idle` until none is left.
FROM node:24-slim AS build
WORKDIR /app
COPY package.json package-lock.json ./
COPY toolchain/package.json toolchain/
COPY console/package.json console/
RUN npm ci --ignore-scripts --workspace=console --include-workspace-root
COPY tsconfig.json tsconfig.build.json ./
COPY scripts scripts
COPY console/src console/src
COPY src src
# Source maps and declarations are for developers.
RUN npm run build && find dist \( -name '*.map' -o -name '*.d.ts' \) -delete

# What runs needs: the dependencies, and of the development dependencies those that the example brings to Waybill.
FROM node:24-slim AS packages
WORKDIR /app
COPY package.json package-lock.json ./
RUN node -e ' \
  const { dependencies, devDependencies, ...rest } = require("./package.json"); \
  const brought = ["fastify", "zod", "pg", "@kubernetes/client-node", "@azure/identity", "@azure/cosmos", "@azure/arm-appcontainers", "@azure/storage-queue"].map(name => [name, devDependencies[name]]); \
  delete rest.workspaces; \
  require("fs").writeFileSync("package.json", JSON.stringify({ ...rest, dependencies: { ...dependencies, ...Object.fromEntries(brought) } }))' \
  && npm install --ignore-scripts --no-audit --no-fund
# Node loads no TypeScript from node_modules, no source map unless it is asked to, and nothing that is built for browsers.
RUN find node_modules -type f \( -name '*.map' -o -name '*.ts' -o -name '*.mts' -o -name '*.cts' \) -delete \
  && find node_modules/@azure node_modules/@typespec -type d \( -path '*/dist/browser' -o -path '*/dist/react-native' \) -prune -exec rm -r {} +

FROM node:24-slim
# An init as the first process: it passes signals on, and collects what a handler's programs leave behind.
RUN apt-get update && apt-get install -y --no-install-recommends tini && rm -rf /var/lib/apt/lists/*
# The young generation of V8 would grow to 128 MB under load, and be no faster for it. Nor are many pools of the C library.
ENV NODE_ENV=production HOST=0.0.0.0 NODE_OPTIONS=--max-semi-space-size=8 NODE_COMPILE_CACHE=/app/compiled MALLOC_ARENA_MAX=2
WORKDIR /app
COPY --from=packages /app/node_modules node_modules
COPY package.json ./
COPY --from=build /app/dist dist
COPY examples examples
# Each program is started once, as the user that it will run as, and Node keeps what it compiles: later starts take less
# CPU time and memory.
RUN mkdir compiled && chown 1000:1000 compiled; \
  export WAYBILL_STORE=sqlite:/tmp/first.db PORT=0; \
  as="setpriv --reuid=1000 --regid=1000 --clear-groups"; \
  $as timeout 10 node examples/orders/api.ts; $as node examples/orders/job.ts; \
  rm -f /tmp/first.db* && chown -R 0:0 compiled && chmod -R a+rX compiled
# By number, so that Kubernetes can see that it is not root. The files are root's, and cannot be changed.
USER 1000:1000
EXPOSE 3000
# Another role replaces CMD (in Kubernetes and Container Apps `args`) and leaves the init in place.
ENTRYPOINT ["tini", "--"]
CMD ["node", "examples/orders/api.ts"]
