/** `node scripts/biome.ts check --write`: Biome, whichever build this platform needs. */
import { biome } from './tools.ts'

process.exitCode = biome(...process.argv.slice(2))
