/** A composition of a scenario, which ends with it. */
import { createWaybill, type Waybill, type WaybillOptions } from 'waybill/server'
import type { Bench } from './bench.ts'

/** What logs nothing. */
const SILENT = { info: () => {}, warn: () => {}, error: () => {} }

/** Starts it. */
export async function startWaybill(bench: Bench, options: Omit<WaybillOptions, 'logger'>): Promise<Waybill> {
  const waybill = createWaybill({ ...options, logger: SILENT })
  await waybill.start()
  bench.onEnd(() => waybill.stop())
  return waybill
}
