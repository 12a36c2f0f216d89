/** A form for a value that a JSON Schema describes: fields where it is simple, and JSON where it is not. */
import { useSignal } from '@preact/signals'
import type { ComponentChildren } from 'preact'
import { useId } from 'preact/hooks'
import { type Field, fieldsOf, readValue, type Schema } from './schema-fields.ts'

interface Props {
  readonly schema: Schema | undefined
  /** The label of the button that sends the value. */
  readonly verb: string
  readonly isBusy: boolean
  readonly onSubmit: (value: unknown) => void
}

export function SchemaForm({ schema, verb, isBusy, onSubmit }: Props) {
  const id = useId()
  const fields = fieldsOf(schema)
  const isJson = useSignal(fields === undefined)
  const problem = useSignal<string | undefined>(undefined)
  const submit = (form: HTMLFormElement) => {
    const data = new FormData(form)
    problem.value = undefined
    if (fields !== undefined && !isJson.value) return onSubmit(readValue(fields, data))
    try {
      onSubmit(JSON.parse(`${data.get('json')}`))
    } catch {
      problem.value = 'It is not JSON. Text stands in double quotes.'
    }
  }
  return (
    <form
      class="answer"
      onSubmit={event => {
        event.preventDefault()
        submit(event.currentTarget)
      }}
    >
      {fields === undefined || isJson.value ? (
        <Row id={`${id}-json`} label="JSON" note={problem.value}>
          <textarea
            id={`${id}-json`}
            name="json"
            rows={3}
            required
            spellcheck={false}
            aria-invalid={problem.value !== undefined}
          />
        </Row>
      ) : (
        fields.map(field => (
          <Row key={field.id} id={`${id}-${field.id}`} label={field.label} note={field.note}>
            <Control field={field} id={`${id}-${field.id}`} />
          </Row>
        ))
      )}
      <footer>
        <button type="submit" class="button primary" disabled={isBusy}>
          {verb}
        </button>
        {fields !== undefined && (
          <button
            type="button"
            class="link"
            onClick={() => {
              isJson.value = !isJson.value
            }}
          >
            {isJson.value ? 'As a form' : 'As JSON'}
          </button>
        )}
      </footer>
    </form>
  )
}

function Row(props: {
  readonly id: string
  readonly label: string
  readonly note: string | undefined
  readonly children: ComponentChildren
}) {
  return (
    <div class="row">
      <label for={props.id}>{props.label}</label>
      {props.children}
      {props.note !== undefined && <span class="note">{props.note}</span>}
    </div>
  )
}

function Control({ field, id }: { readonly field: Field; readonly id: string }) {
  const { id: name, isRequired } = field
  if (field.kind === 'choice') {
    return (
      <select id={id} name={name} required={isRequired}>
        <option value="" />
        {field.choices.map((choice, index) => (
          <option key={`${choice.value}`} value={index}>
            {choice.label}
          </option>
        ))}
      </select>
    )
  }
  if (field.kind === 'text') {
    return (
      <input
        id={id}
        name={name}
        type="text"
        required={isRequired && field.min !== 0}
        minLength={field.min}
        maxLength={field.max}
      />
    )
  }
  return (
    <input
      id={id}
      name={name}
      type="number"
      required={isRequired}
      min={field.min}
      max={field.max}
      step={field.kind === 'integer' ? 1 : 'any'}
    />
  )
}
