/** Every scenario, in the order in which they run. Peers come in packages of their own. */
import type { Scenario } from '../scenario.ts'
import { children } from './children.ts'
import { console } from './console.ts'
import { cpuBound } from './cpu-bound.ts'
import { drain } from './drain.ts'
import { fleet } from './fleet.ts'
import { growth } from './growth.ts'
import { growthStore } from './growth-store.ts'
import { limits } from './limits.ts'
import { operator } from './operator.ts'
import { post } from './post.ts'
import { completed, result } from './result.ts'
import { retryAfter } from './retry-after.ts'
import { roundTrip } from './round-trip.ts'
import { sleeping } from './sleeping.ts'
import { status } from './status.ts'
import { waiters } from './waiters.ts'

export const scenarios: readonly Scenario[] = [
  limits,
  post,
  status,
  completed,
  result,
  drain,
  roundTrip,
  waiters,
  cpuBound,
  retryAfter,
  sleeping,
  children,
  growth,
  growthStore,
  operator,
  fleet,
  console,
]
