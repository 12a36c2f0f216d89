#!/usr/bin/env node
/** `npm create waybill`: the same as `waybill init`. */
import { findPackageJSON } from 'node:module'
import { pathToFileURL } from 'node:url'

const manifest = pathToFileURL(findPackageJSON('waybill', import.meta.url))
process.argv.splice(2, 0, 'init')
await import(new URL('dist/cli/main.js', manifest).href)
