/**
 * The marks on processes that Waybill starts. A program that starts such processes, and is itself what they run, would
 * start more of them without an end: the mark recognizes it.
 */

/** What a process is started as: a child that runs handlers, or an execution of the process launcher. */
export type ProcessKind = 'child' | 'execution'

const VARIABLES: Readonly<Record<ProcessKind, string>> = {
  child: 'WAYBILL_CHILD_OF',
  execution: 'WAYBILL_EXECUTION_OF',
}

/** The parent at the start: when it dies, this process gets another one. */
const PARENT = process.ppid

/** What a process that this one starts needs in its environment. */
export function originMark(kind: ProcessKind): Readonly<Record<string, string>> {
  return { [VARIABLES[kind]]: String(process.pid) }
}

/** The process id in the mark of this process, which may be inherited; undefined where there is none. */
export function markedParent(kind: ProcessKind): number | undefined {
  const mark = process.env[VARIABLES[kind]]
  return mark === undefined ? undefined : Number(mark)
}

/** Whether this process was started as one of that kind. What it starts inherits the mark, and has another parent. */
export function isStartedAs(kind: ProcessKind): boolean {
  return markedParent(kind) === PARENT
}
