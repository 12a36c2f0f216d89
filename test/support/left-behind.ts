/** A process runs many test files: what one of them leaves behind in it, the next one would stumble over. */
import { afterAll, expect, vi } from 'vitest'

const environment = { ...process.env }

afterAll(() => {
  vi.unstubAllEnvs()
  expect({ fakeTimers: vi.isFakeTimers(), environment: { ...process.env } }).toEqual({ fakeTimers: false, environment })
})
