/**
 * Marks the processes that Waybill starts. A program that starts processes which run the same program would start more
 * and more of them; the mark lets it recognize that it was started by itself.
 */

/** What a process is started as: a child that runs handlers, or an execution of the process launcher. */
export type ProcessKind = 'child' | 'execution'

const VARIABLES: Readonly<Record<ProcessKind, string>> = {
  child: 'WAYBILL_CHILD_OF',
  execution: 'WAYBILL_EXECUTION_OF',
}

/** The parent when this process started. When the parent dies, `process.ppid` changes. */
const PARENT = process.ppid

/** The environment variables that mark a process that this one starts. */
export function originMark(kind: ProcessKind): Readonly<Record<string, string>> {
  return { [VARIABLES[kind]]: String(process.pid) }
}

/** The process id in the mark of this process, which may be inherited; undefined where there is none. */
export function markedParent(kind: ProcessKind): number | undefined {
  const mark = process.env[VARIABLES[kind]]
  return mark === undefined ? undefined : Number(mark)
}

/**
 * Whether this process was started as one of that kind. Processes that it starts inherit the mark but have another
 * parent, so they are not mistaken for it.
 */
export function isStartedAs(kind: ProcessKind): boolean {
  return markedParent(kind) === PARENT
}
