/** Tables: a head made of its columns, and rows. */
import type { ComponentChildren } from 'preact'

/** A column, as the head of a table shows it. */
export interface Column {
  readonly name: string
  /** Its cells hold numbers, or stand at the right as they do. */
  readonly isNumber?: boolean | undefined
  /** Only screen readers say its name. */
  readonly isNameless?: boolean | undefined
  readonly class?: string | undefined
}

/** @param first a cell before the columns, such as a box that selects all rows */
export function TableHead({
  columns,
  first,
}: {
  readonly columns: readonly Column[]
  readonly first?: ComponentChildren
}) {
  return (
    <thead>
      <tr>
        {first}
        {columns.map(({ name, isNumber, isNameless, class: extra = '' }) => (
          <th key={name} scope="col" data-column={name} class={isNumber ? 'right' : extra}>
            {isNameless ? <span class="hidden">{name}</span> : name}
          </th>
        ))}
      </tr>
    </thead>
  )
}

/** A table that scrolls sideways where it is wider than the page. Its children are its rows. */
export function Table({
  columns,
  children,
}: {
  readonly columns: readonly Column[]
  readonly children: ComponentChildren
}) {
  return (
    <div class="scroll">
      <table>
        <TableHead columns={columns} />
        <tbody>{children}</tbody>
      </table>
    </div>
  )
}
