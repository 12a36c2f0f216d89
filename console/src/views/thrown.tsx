/** What a handler threw, with its stack and its causes. */
import { Text } from '../parts/json.tsx'
import type { OperationDetail } from '../wire.ts'

type AttemptError = NonNullable<OperationDetail['attempts'][number]['thrown']>

export function Thrown({ error, label }: { readonly error: AttemptError; readonly label: string }) {
  return <Text text={stackOf(error)} label={label} />
}

function stackOf(error: AttemptError): string {
  const head = `${error.name}: ${error.message}`
  const { stack = head, code, cause } = error
  const whole = stack.includes(error.message) ? stack : `${head}\n${stack}`
  return [
    code === undefined ? whole : `${whole}\n  code: ${code}`,
    ...(cause === undefined ? [] : [`Caused by ${stackOf(cause)}`]),
  ].join('\n')
}
