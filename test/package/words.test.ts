/** The check of words finds each phrase where people read it, and nothing in the code itself. */
import { expect, test } from 'vitest'
import { findPhrases } from '../../scripts/words.ts'

test.each([
  ["const title = 'It is not known who asks'", '"who asks"'],
  ['const cure = `Mend it`', '"Mend"'],
  ['/** Compares. Whoever runs it is notified. */', '"Whoever"'],
  ['// The secret is held against the list.', '"held against"'],
  ['// It holds it against the list.', '"holds it against"'],
  ['// This is no file of SQLite.', '"is no file"'],
  ['/**\n * What is told\n * of it.\n */', '"told of"'],
  ['// It is told\n// of it.', '"told of"'],
  ['// It calls for an execution.', '"calls for"'],
])('%j is refused', (text, phrase) => {
  expect(findPhrases('a.ts', text)).toEqual([expect.stringContaining(phrase)])
})

test.each([
  'const mend = anew + hears',
  '// There is no such file, and it is no longer there.',
  '// One call for each operation.',
  '// A text file.',
])('%j is accepted', text => {
  expect(findPhrases('a.ts', text)).toEqual([])
})

test('a page is checked as a whole, and a finding has its line', () => {
  expect(findPhrases('page.md', '# Page\n\nA key is\na text.')).toEqual(['page.md:4: "a text". Instead: a string'])
})
