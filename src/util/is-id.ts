/** Whether a string is an id as Waybill makes them. No other string can be the key of a row. */
export function isId(id: string): boolean {
  return /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/.test(id)
}
