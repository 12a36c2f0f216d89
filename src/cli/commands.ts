/** Every command. Only the command that is called is loaded: some need all of Waybill, others almost nothing. */
import type { Command } from './command.ts'

/** The commands by their names, in the order of the help. */
const COMMANDS: Readonly<Record<string, () => Promise<Command>>> = {
  init: async () => (await import('./init.ts')).init,
  dev: async () => (await import('./dev.ts')).dev,
  work: async () => (await import('./work.ts')).work,
  run: async () => (await import('./run.ts')).run,
  submit: async () => (await import('./submit.ts')).submit,
  watch: async () => (await import('./watch.ts')).watch,
  ls: async () => (await import('./ls.ts')).ls,
  show: async () => (await import('./show.ts')).show,
  cancel: async () => (await import('./verbs.ts')).cancel,
  retry: async () => (await import('./verbs.ts')).retry,
  delete: async () => (await import('./verbs.ts')).remove,
  answer: async () => (await import('./answer.ts')).answer,
  webhooks: async () => (await import('./replay.ts')).webhooks,
  replay: async () => (await import('./replay.ts')).replay,
  pause: async () => (await import('./verbs.ts')).pause,
  resume: async () => (await import('./verbs.ts')).resume,
  stats: async () => (await import('./stats.ts')).stats,
  top: async () => (await import('./stats.ts')).top,
  audit: async () => (await import('./audit.ts')).audit,
  console: async () => (await import('./console.ts')).consoleCommand,
  migrate: async () => (await import('./migrate.ts')).migrate,
  copy: async () => (await import('./copy.ts')).copy,
  backup: async () => (await import('./backup.ts')).backup,
  restore: async () => (await import('./backup.ts')).restore,
  emulate: async () => (await import('./emulate.ts')).emulate,
  check: async () => (await import('./check.ts')).check,
  doctor: async () => (await import('./doctor.ts')).doctor,
  completion: async () => (await import('./completion.ts')).completion(loadAll),
}

export const COMMAND_NAMES: readonly string[] = Object.keys(COMMANDS)

/** Loads a command. Undefined if there is none of that name. */
export async function loadCommand(name: string): Promise<Command | undefined> {
  return Object.hasOwn(COMMANDS, name) ? await COMMANDS[name]?.() : undefined
}

/** Loads every command, in the order of the help. */
export async function loadAll(): Promise<readonly Command[]> {
  return await Promise.all(Object.values(COMMANDS).map(load => load()))
}
