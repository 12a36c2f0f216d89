/** Small drawings, in the color of the text beside them. */
const PATHS = {
  overview: 'M2.5 13.5v-4M6.2 13.5v-8M9.8 13.5v-6M13.5 13.5v-11',
  operations: 'M2.5 4h11M2.5 8h11M2.5 12h7',
  types: 'M8 1.8 13.8 5v6L8 14.2 2.2 11V5zM2.2 5 8 8.2 13.8 5M8 8.2v6',
  bulk: 'M5.5 3.5h8M5.5 8h8M5.5 12.5h8M2.3 3.5h.4M2.3 8h.4M2.3 12.5h.4',
  audit: 'M4 1.8h5.5L12.5 5v9.2H4zM9.3 2v3.2h3M6.3 8.2h4M6.3 11h4',
  search: 'M7 11.8a4.8 4.8 0 1 0 0-9.6 4.8 4.8 0 0 0 0 9.6zM10.6 10.6l3.4 3.4',
  copy: 'M5.8 5.8h7.7v7.7H5.8zM10.2 5.8V2.5H2.5v7.7h3.3',
  check: 'M3 8.5 6.3 12 13 4.5',
  retry: 'M13.2 8a5.2 5.2 0 1 1-1.6-3.7L13.3 6M13.3 2.8V6h-3.2',
  cancel: 'M4 4l8 8M12 4l-8 8',
  trash: 'M3 4.5h10M6.2 4.5V2.8h3.6v1.7M4.3 4.5l.6 9h6.2l.6-9M6.7 7v4M9.3 7v4',
  pause: 'M5.5 3.5v9M10.5 3.5v9',
  play: 'M5 3.2v9.6L12.5 8z',
  columns: 'M2.5 3h11v10h-11zM6.2 3v10M9.8 3v10',
  sun: 'M8 11a3 3 0 1 0 0-6 3 3 0 0 0 0 6zM8 1.5v1.2M8 13.3v1.2M1.5 8h1.2M13.3 8h1.2M3.4 3.4l.9.9M11.7 11.7l.9.9M3.4 12.6l.9-.9M11.7 4.3l.9-.9',
  moon: 'M13.3 9.6A5.6 5.6 0 0 1 6.4 2.7a5.6 5.6 0 1 0 6.9 6.9z',
  system: 'M2 3h12v8.2H2zM6 13.8h4M8 11.2v2.6',
  keyboard: 'M1.8 4h12.4v8H1.8zM4.3 6.6h.3M6.7 6.6h.3M9 6.6h.3M11.4 6.6h.3M5 9.6h6',
  external: 'M6.5 3H3v10h10V9.5M9 2.8h4.2V7M13 3 7.5 8.5',
  more: 'M3.5 8h.1M8 8h.1M12.5 8h.1',
  down: 'M4 6.2 8 10l4-3.8',
  clock: 'M8 14A6 6 0 1 0 8 2a6 6 0 0 0 0 12zM8 4.6V8l2.4 1.6',
  event: 'M8.8 1.8 3.4 9h4.2l-.4 5.2L12.6 7H8.4z',
  question: 'M2.2 3h11.6v8.2H8.6L5.4 14v-2.8H2.2zM6.3 5.9a1.7 1.7 0 1 1 1.7 1.9M8 9.4v.1',
  children: 'M6 2.5h4v3.5H6zM2 10.5h4V14H2zM10 10.5h4V14h-4zM8 6v2.2M4 10.5V8.2h8v2.3',
  terminal: 'M2 3h12v10H2zM4.5 6l2 2-2 2M8.2 10.2h3',
} as const

export type IconName = keyof typeof PATHS

export function Icon({ name }: { readonly name: IconName }) {
  return (
    <svg class="icon" viewBox="0 0 16 16" aria-hidden="true">
      <path d={PATHS[name]} />
    </svg>
  )
}

/** The mark of Waybill: the bars of a parcel's label. */
export function Mark() {
  return (
    <svg class="mark" viewBox="0 0 20 20" aria-hidden="true">
      <rect width="20" height="20" rx="5" />
      <path d="M5 5.5v9M7.6 5.5v9M9.4 5.5v9M12.4 5.5v9M15 5.5v9" />
    </svg>
  )
}
