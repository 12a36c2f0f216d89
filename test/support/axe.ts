/** The rules of accessibility that axe checks. */
import axe from 'axe-core'
import type { Page } from 'playwright-core'

/** Gives only what is wrong: all that axe finds is megabytes. */
const RUN = `axe.run(document, { resultTypes: ['violations'] }).then(({ violations }) =>
  violations.flatMap(({ id, nodes }) => nodes.map(({ html }) => id + ': ' + html.slice(0, 160))),
)`

/** What axe finds wrong with a page as it is now. */
export async function violations(page: Page): Promise<string[]> {
  // By the debugger: the policies of the pages let no script in.
  if (!(await page.evaluate("'axe' in window"))) await page.evaluate(axe.source)
  return await page.evaluate<string[]>(RUN)
}
