import { defineConfig, mergeConfig } from 'vitest/config'
import base from '../../../vitest.config.ts'

const merged = mergeConfig(base, defineConfig({ root: `${import.meta.dirname}/../../..` }))

// Replaced, and not merged: the lists of the two would be joined.
export default {
  ...merged,
  test: { ...merged.test, include: ['test/blobs/azurite/*.test.ts'], exclude: ['**/node_modules/**'] },
}
