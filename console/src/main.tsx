/** Starts the console. */
import { render } from 'preact'
import { App } from './app.tsx'
import { stayConnected } from './live.ts'
import { listenToKeys } from './parts/keyboard.tsx'
import { followLinks } from './router.ts'

const root = document.getElementById('app')
if (root === null) throw new Error('The page has no place for the console.')
followLinks()
listenToKeys()
render(<App />, root)
void stayConnected()
