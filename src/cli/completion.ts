/** `waybill completion`: prints a script with which a shell completes commands and options. */
import { type Command, UsageError } from './command.ts'
import { print } from './output.ts'

type Commands = () => Promise<readonly Command[]>

const SHELLS: Readonly<Record<string, (commands: readonly Command[]) => string>> = { bash, zsh, fish }

/** @param commands loads every command, this one included */
export function completion(commands: Commands): Command {
  return {
    name: 'completion',
    operands: 'bash|zsh|fish',
    count: { min: 1, max: 1 },
    summary: 'print a script that makes a shell complete commands and options',
    options: {},
    examples: [
      'waybill completion bash >> ~/.bashrc',
      'waybill completion zsh > ~/.zfunc/_waybill',
      'waybill completion fish > ~/.config/fish/completions/waybill.fish',
    ],
    run: async ({ operands: [shell = ''] }) => {
      const write = Object.hasOwn(SHELLS, shell) ? SHELLS[shell] : undefined
      if (write === undefined) throw new UsageError(`There is no completion for "${shell}": use bash, zsh or fish.`)
      return print(write(await commands()))
    },
  }
}

const flags = ({ options }: Command) => Object.keys(options).map(name => `--${name}`)

function bash(commands: readonly Command[]): string {
  return `_waybill() {
  local current=\${COMP_WORDS[COMP_CWORD]} words
  if [ "$COMP_CWORD" -eq 1 ]; then
    words='${[...commands.map(({ name }) => name), 'help'].join(' ')}'
  else
    case \${COMP_WORDS[1]} in
      help) words='${commands.map(({ name }) => name).join(' ')}' ;;
${commands.map(it => `      ${it.name}) words='${[...flags(it), '--help'].join(' ')}' ;;`).join('\n')}
    esac
    # What is not an option is a file, or what only the user knows.
    [[ $current == -* || \${COMP_WORDS[1]} == help ]] || return 0
  fi
  COMPREPLY=($(compgen -W "$words" -- "$current"))
}
complete -o default -F _waybill waybill`
}

function zsh(commands: readonly Command[]): string {
  const option = ([name, { help, value, multiple }]: [string, Command['options'][string]]) =>
    quote(
      `${multiple ? '*' : ''}--${name}${value === undefined ? '' : '='}[${plainly(help)}]${value === undefined ? '' : `:${plainly(value)}:_files`}`,
    )
  const cases = commands.map(it => {
    const options = Object.entries(it.options).map(option)
    return `    ${it.name}) _arguments ${[...options, quote('*:operand:_files')].join(' ')} ;;`
  })
  return `#compdef waybill
_waybill() {
  local -a commands
  commands=(${commands.map(({ name, summary }) => quote(`${name}:${plainly(summary)}`)).join(' ')})
  if (( CURRENT == 2 )); then
    _describe command commands
    return
  fi
  local command=$words[2]
  shift words
  (( CURRENT-- ))
  case $command in
${cases.join('\n')}
  esac
}
# A file of fpath is read at the first completion, which it also does.
if [ "$funcstack[1]" = _waybill ]; then _waybill "$@"; else compdef _waybill waybill; fi`
}

/** Without the characters that have a meaning for \`_arguments\` and \`_describe\`. */
function plainly(text: string): string {
  return text.replaceAll(/[[\]:\\]/g, ' ')
}

function fish(commands: readonly Command[]): string {
  const lines = commands.flatMap(({ name, summary, options }) => [
    `complete -c waybill -n __fish_use_subcommand -a ${name} -d ${quote(summary)}`,
    ...Object.entries(options).map(
      ([option, { help, value }]) =>
        `complete -c waybill -n '__fish_seen_subcommand_from ${name}' -l ${option}${value === undefined ? '' : ' -r'} -d ${quote(help)}`,
    ),
  ])
  return lines.join('\n')
}

/** In single quotes, in a form that all three shells accept. */
function quote(text: string): string {
  return `'${text.replaceAll("'", '’')}'`
}
