/** An operation type whose input says which file its handler returns, so that one handler file serves every test. */
import { defineOperation } from 'waybill'

/** What the handler of `fixtures/handlers/files.ts` returns. */
export type FileAct =
  | {
      readonly as: 'stream' | 'pieces' | 'node-stream' | 'bytes' | 'text'
      readonly text: string
      readonly type?: string
      readonly filename?: string
    }
  | { readonly as: 'blob'; readonly text: string; readonly type?: string }
  | { readonly as: 'file'; readonly text: string; readonly type?: string; readonly filename?: string }
  | { readonly as: 'path'; readonly path: string; readonly type?: string }
  /** This many MiB, piece by piece. */
  | { readonly as: 'large'; readonly mib: number }
  /** A first piece; then its process ends in the first attempt, and in the next ones the rest comes. */
  | { readonly as: 'crash' }
  /** A first piece, and never another one. */
  | { readonly as: 'stuck' }
  /** A first piece and an error in the first attempt, and then all. */
  | { readonly as: 'fail' }
  /** Pieces that are none. */
  | { readonly as: 'objects' }
  /** JSON. */
  | { readonly as: 'json'; readonly value: unknown }

/** A type named `files`, which the handlers of `fixtures/handlers/files.ts` serve. */
export function files(policy: { retention?: number; timeout?: number; attempts?: number } = {}) {
  return defineOperation({ name: 'files', backoff: { initial: 20 }, ...policy })
}
