# One image for both roles: `node examples/orders/api.ts` serves, `node examples/orders/job.ts` works on one order, and
# `node dist/cli/main.js work --until-idle` drains a backlog.
FROM node:24-slim AS build
WORKDIR /app
COPY package.json package-lock.json ./
COPY toolchain/package.json toolchain/
RUN npm ci --ignore-scripts --workspaces=false
COPY tsconfig.json tsconfig.build.json ./
COPY scripts scripts
COPY src src
RUN npm run build

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

FROM node:24-slim
ENV NODE_ENV=production HOST=0.0.0.0
WORKDIR /app
COPY --from=packages /app/node_modules node_modules
COPY package.json ./
COPY --from=build /app/dist dist
COPY examples examples
# By number, so that Kubernetes can see that it is not root. The files are root's, and cannot be changed.
USER 1000:1000
EXPOSE 3000
# node itself is the first process, so SIGTERM reaches it.
CMD ["node", "examples/orders/api.ts"]
