#!/usr/bin/env node
/** The `waybill` command. `waybill help` lists its commands. */
import { MIN_NODE, nodeIsAtLeast } from './node-version.ts'

if (nodeIsAtLeast(MIN_NODE)) await (await import('./run-process.ts')).runProcess()
else {
  process.stderr.write(`waybill: Node.js ${MIN_NODE} or newer is needed; this is ${process.versions.node}.\n`)
  process.exitCode = 1
}
