import { stripVTControlCharacters } from 'node:util'
import { describe, expect, onTestFinished, test, vi } from 'vitest'
import { stderrLogger } from '../../src/util/logger.ts'

/** What the default logger writes, on a terminal or not. */
function written(isTTY: boolean, log: () => void): string {
  const before = Object.getOwnPropertyDescriptor(process.stderr, 'isTTY')
  const write = vi.spyOn(process.stderr, 'write').mockReturnValue(true)
  onTestFinished(() => {
    write.mockRestore()
    if (before === undefined) Reflect.deleteProperty(process.stderr, 'isTTY')
    else Object.defineProperty(process.stderr, 'isTTY', before)
  })
  Object.defineProperty(process.stderr, 'isTTY', { value: isTTY, configurable: true })
  log()
  return write.mock.calls.map(([text]) => stripVTControlCharacters(String(text))).join('')
}

describe('the default logger', () => {
  const warn = () => stderrLogger.warn({ operation: 'x', err: new RangeError('no card') }, 'An attempt failed')

  test('writes a line for people on a terminal, with the stack below it', () => {
    const lines = written(true, warn).split('\n')
    expect(lines.slice(0, 3)).toEqual([
      expect.stringMatching(/^\d\d:\d\d:\d\d warn {2}An attempt failed operation=x$/),
      '  RangeError: no card',
      expect.stringMatching(/^ {2}at /),
    ])
  })

  test('writes JSON elsewhere', () => {
    const text = written(false, warn)
    expect(text.split('\n')).toHaveLength(2)
    expect(JSON.parse(text)).toMatchObject({
      level: 'warn',
      message: 'An attempt failed',
      operation: 'x',
      err: { name: 'RangeError', message: 'no card' },
    })
  })
})
