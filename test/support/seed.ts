/**
 * What fast-check draws: the same in every run of `npm test`, so that what fails can be repeated and a change
 * is judged by itself; another seed in each round of `npm run faults`.
 */
import { configureGlobal } from 'fast-check'

configureGlobal({ seed: Number(process.env.WAYBILL_SEED ?? 1) | 0 })
